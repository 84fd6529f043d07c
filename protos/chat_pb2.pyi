from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChatLine(_message.Message):
    __slots__ = ("id", "name", "text", "stamp_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STAMP_US_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    text: str
    stamp_us: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., text: _Optional[str] = ..., stamp_us: _Optional[int] = ...) -> None: ...

class FromMember(_message.Message):
    __slots__ = ("hello", "say", "leave")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    SAY_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    say: Say
    leave: Leave
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., say: _Optional[_Union[Say, _Mapping]] = ..., leave: _Optional[_Union[Leave, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("name", "session", "history", "comes_from", "known")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    COMES_FROM_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    name: str
    session: str
    history: int
    comes_from: str
    known: _containers.RepeatedCompositeFieldContainer[ChatLine]
    def __init__(self, name: _Optional[str] = ..., session: _Optional[str] = ..., history: _Optional[int] = ..., comes_from: _Optional[str] = ..., known: _Optional[_Iterable[_Union[ChatLine, _Mapping]]] = ...) -> None: ...

class Say(_message.Message):
    __slots__ = ("id", "text")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Leave(_message.Message):
    __slots__ = ("moves_to",)
    MOVES_TO_FIELD_NUMBER: _ClassVar[int]
    moves_to: str
    def __init__(self, moves_to: _Optional[str] = ...) -> None: ...

class ToMember(_message.Message):
    __slots__ = ("welcome", "line", "joined", "left")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    line: ChatLine
    joined: Joined
    left: Left
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., line: _Optional[_Union[ChatLine, _Mapping]] = ..., joined: _Optional[_Union[Joined, _Mapping]] = ..., left: _Optional[_Union[Left, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("replica", "name", "members", "lines", "burst", "lines_per_s")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    LINES_PER_S_FIELD_NUMBER: _ClassVar[int]
    replica: str
    name: str
    members: _containers.RepeatedScalarFieldContainer[str]
    lines: _containers.RepeatedCompositeFieldContainer[ChatLine]
    burst: int
    lines_per_s: float
    def __init__(self, replica: _Optional[str] = ..., name: _Optional[str] = ..., members: _Optional[_Iterable[str]] = ..., lines: _Optional[_Iterable[_Union[ChatLine, _Mapping]]] = ..., burst: _Optional[int] = ..., lines_per_s: _Optional[float] = ...) -> None: ...

class Joined(_message.Message):
    __slots__ = ("name", "came_along")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAME_ALONG_FIELD_NUMBER: _ClassVar[int]
    name: str
    came_along: bool
    def __init__(self, name: _Optional[str] = ..., came_along: bool = ...) -> None: ...

class Left(_message.Message):
    __slots__ = ("name", "moves_to")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MOVES_TO_FIELD_NUMBER: _ClassVar[int]
    name: str
    moves_to: str
    def __init__(self, name: _Optional[str] = ..., moves_to: _Optional[str] = ...) -> None: ...

class LocateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LocateReply(_message.Message):
    __slots__ = ("replica",)
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    replica: str
    def __init__(self, replica: _Optional[str] = ...) -> None: ...

class GetRoomRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Room(_message.Message):
    __slots__ = ("replica", "room", "members", "lines")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    replica: str
    room: str
    members: _containers.RepeatedScalarFieldContainer[str]
    lines: int
    def __init__(self, replica: _Optional[str] = ..., room: _Optional[str] = ..., members: _Optional[_Iterable[str]] = ..., lines: _Optional[int] = ...) -> None: ...

class ListRoomsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRoomsReply(_message.Message):
    __slots__ = ("replica", "rooms")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    replica: str
    rooms: _containers.RepeatedCompositeFieldContainer[Room]
    def __init__(self, replica: _Optional[str] = ..., rooms: _Optional[_Iterable[_Union[Room, _Mapping]]] = ...) -> None: ...
