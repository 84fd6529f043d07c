from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Line(_message.Message):
    __slots__ = ("conversation", "number", "text", "count", "delay_ms")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    number: int
    text: str
    count: int
    delay_ms: int
    def __init__(self, conversation: _Optional[str] = ..., number: _Optional[int] = ..., text: _Optional[str] = ..., count: _Optional[int] = ..., delay_ms: _Optional[int] = ...) -> None: ...

class GetOutcomeRequest(_message.Message):
    __slots__ = ("conversation",)
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    def __init__(self, conversation: _Optional[str] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("conversation", "ending", "received", "sent", "open_s")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    OPEN_S_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    ending: str
    received: int
    sent: int
    open_s: float
    def __init__(self, conversation: _Optional[str] = ..., ending: _Optional[str] = ..., received: _Optional[int] = ..., sent: _Optional[int] = ..., open_s: _Optional[float] = ...) -> None: ...
