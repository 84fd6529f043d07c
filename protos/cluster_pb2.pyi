from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    STARTING: _ClassVar[Phase]
    RUNNING: _ClassVar[Phase]
    DRAINING: _ClassVar[Phase]
    BACKING_OFF: _ClassVar[Phase]
    FAILED: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
STARTING: Phase
RUNNING: Phase
DRAINING: Phase
BACKING_OFF: Phase
FAILED: Phase

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchStatusRequest(_message.Message):
    __slots__ = ("interval_ms",)
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    interval_ms: int
    def __init__(self, interval_ms: _Optional[int] = ...) -> None: ...

class ScaleRequest(_message.Message):
    __slots__ = ("replicas",)
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    replicas: int
    def __init__(self, replicas: _Optional[int] = ...) -> None: ...

class ShutdownRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RebalanceRequest(_message.Message):
    __slots__ = ("opened_before_ns",)
    OPENED_BEFORE_NS_FIELD_NUMBER: _ClassVar[int]
    opened_before_ns: int
    def __init__(self, opened_before_ns: _Optional[int] = ...) -> None: ...

class RebalanceReply(_message.Message):
    __slots__ = ("asked",)
    ASKED_FIELD_NUMBER: _ClassVar[int]
    asked: int
    def __init__(self, asked: _Optional[int] = ...) -> None: ...

class ReplicaStatus(_message.Message):
    __slots__ = ("id", "address", "phase", "health", "pid", "calls", "in_flight", "uptime_s", "restarts", "reason", "streams")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    phase: Phase
    health: str
    pid: int
    calls: int
    in_flight: int
    uptime_s: float
    restarts: int
    reason: str
    streams: int
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., phase: _Optional[_Union[Phase, str]] = ..., health: _Optional[str] = ..., pid: _Optional[int] = ..., calls: _Optional[int] = ..., in_flight: _Optional[int] = ..., uptime_s: _Optional[float] = ..., restarts: _Optional[int] = ..., reason: _Optional[str] = ..., streams: _Optional[int] = ...) -> None: ...

class ClusterStatus(_message.Message):
    __slots__ = ("cluster", "target", "services", "wanted", "replicas", "supervisor_pid", "log_folder", "service_spec")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SUPERVISOR_PID_FIELD_NUMBER: _ClassVar[int]
    LOG_FOLDER_FIELD_NUMBER: _ClassVar[int]
    SERVICE_SPEC_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    target: str
    services: _containers.RepeatedScalarFieldContainer[str]
    wanted: int
    replicas: _containers.RepeatedCompositeFieldContainer[ReplicaStatus]
    supervisor_pid: int
    log_folder: str
    service_spec: str
    def __init__(self, cluster: _Optional[str] = ..., target: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., wanted: _Optional[int] = ..., replicas: _Optional[_Iterable[_Union[ReplicaStatus, _Mapping]]] = ..., supervisor_pid: _Optional[int] = ..., log_folder: _Optional[str] = ..., service_spec: _Optional[str] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReplicaStats(_message.Message):
    __slots__ = ("id", "address", "health", "calls", "in_flight", "uptime_s", "services", "streams", "open_streams", "messages_received", "messages_sent")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    OPEN_STREAMS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_SENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    health: str
    calls: int
    in_flight: int
    uptime_s: float
    services: _containers.RepeatedScalarFieldContainer[str]
    streams: int
    open_streams: int
    messages_received: int
    messages_sent: int
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., health: _Optional[str] = ..., calls: _Optional[int] = ..., in_flight: _Optional[int] = ..., uptime_s: _Optional[float] = ..., services: _Optional[_Iterable[str]] = ..., streams: _Optional[int] = ..., open_streams: _Optional[int] = ..., messages_received: _Optional[int] = ..., messages_sent: _Optional[int] = ...) -> None: ...
