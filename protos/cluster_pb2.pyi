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
    STOPPED: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
STARTING: Phase
RUNNING: Phase
DRAINING: Phase
BACKING_OFF: Phase
FAILED: Phase
STOPPED: Phase

class ReplicaRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class SetHealthRequest(_message.Message):
    __slots__ = ("id", "health")
    ID_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    id: str
    health: str
    def __init__(self, id: _Optional[str] = ..., health: _Optional[str] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("latency_ms", "jitter_ms", "error", "rate", "for_ms")
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    FOR_MS_FIELD_NUMBER: _ClassVar[int]
    latency_ms: float
    jitter_ms: float
    error: str
    rate: float
    for_ms: float
    def __init__(self, latency_ms: _Optional[float] = ..., jitter_ms: _Optional[float] = ..., error: _Optional[str] = ..., rate: _Optional[float] = ..., for_ms: _Optional[float] = ...) -> None: ...

class SetFaultRequest(_message.Message):
    __slots__ = ("id", "fault")
    ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    id: str
    fault: Fault
    def __init__(self, id: _Optional[str] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ...) -> None: ...

class SetLoadRequest(_message.Message):
    __slots__ = ("id", "utilization")
    ID_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    id: str
    utilization: float
    def __init__(self, id: _Optional[str] = ..., utilization: _Optional[float] = ...) -> None: ...

class RestartRequest(_message.Message):
    __slots__ = ("ids", "rolling")
    IDS_FIELD_NUMBER: _ClassVar[int]
    ROLLING_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    rolling: bool
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., rolling: bool = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("after", "only_new", "no_wait")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ONLY_NEW_FIELD_NUMBER: _ClassVar[int]
    NO_WAIT_FIELD_NUMBER: _ClassVar[int]
    after: int
    only_new: bool
    no_wait: bool
    def __init__(self, after: _Optional[int] = ..., only_new: bool = ..., no_wait: bool = ...) -> None: ...

class ClusterEvent(_message.Message):
    __slots__ = ("number", "at_s", "unix_s", "kind", "replica", "address", "detail")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    UNIX_S_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    number: int
    at_s: float
    unix_s: float
    kind: str
    replica: str
    address: str
    detail: str
    def __init__(self, number: _Optional[int] = ..., at_s: _Optional[float] = ..., unix_s: _Optional[float] = ..., kind: _Optional[str] = ..., replica: _Optional[str] = ..., address: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class GetLedgerRequest(_message.Message):
    __slots__ = ("run", "over")
    RUN_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    run: str
    over: bool
    def __init__(self, run: _Optional[str] = ..., over: bool = ...) -> None: ...

class LedgerPart(_message.Message):
    __slots__ = ("replica", "pid", "entries", "full")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    replica: str
    pid: int
    entries: _containers.RepeatedCompositeFieldContainer[LedgerEntry]
    full: bool
    def __init__(self, replica: _Optional[str] = ..., pid: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[LedgerEntry, _Mapping]]] = ..., full: bool = ...) -> None: ...

class LedgerEntry(_message.Message):
    __slots__ = ("call", "previous_attempts", "begin_s", "outcome")
    CALL_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BEGIN_S_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    call: int
    previous_attempts: int
    begin_s: float
    outcome: int
    def __init__(self, call: _Optional[int] = ..., previous_attempts: _Optional[int] = ..., begin_s: _Optional[float] = ..., outcome: _Optional[int] = ...) -> None: ...

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

class SetVersionRequest(_message.Message):
    __slots__ = ("version", "replicas", "share", "service_spec", "remove")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_SPEC_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    version: str
    replicas: int
    share: float
    service_spec: str
    remove: bool
    def __init__(self, version: _Optional[str] = ..., replicas: _Optional[int] = ..., share: _Optional[float] = ..., service_spec: _Optional[str] = ..., remove: bool = ...) -> None: ...

class VersionStatus(_message.Message):
    __slots__ = ("name", "wanted", "share", "service_spec")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_SPEC_FIELD_NUMBER: _ClassVar[int]
    name: str
    wanted: int
    share: float
    service_spec: str
    def __init__(self, name: _Optional[str] = ..., wanted: _Optional[int] = ..., share: _Optional[float] = ..., service_spec: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("id", "address", "phase", "health", "pid", "calls", "in_flight", "uptime_s", "restarts", "reason", "streams", "paused", "fault", "zone", "version", "weight", "told_health", "spare")
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
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TOLD_HEALTH_FIELD_NUMBER: _ClassVar[int]
    SPARE_FIELD_NUMBER: _ClassVar[int]
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
    paused: bool
    fault: Fault
    zone: str
    version: str
    weight: int
    told_health: str
    spare: bool
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., phase: _Optional[_Union[Phase, str]] = ..., health: _Optional[str] = ..., pid: _Optional[int] = ..., calls: _Optional[int] = ..., in_flight: _Optional[int] = ..., uptime_s: _Optional[float] = ..., restarts: _Optional[int] = ..., reason: _Optional[str] = ..., streams: _Optional[int] = ..., paused: bool = ..., fault: _Optional[_Union[Fault, _Mapping]] = ..., zone: _Optional[str] = ..., version: _Optional[str] = ..., weight: _Optional[int] = ..., told_health: _Optional[str] = ..., spare: bool = ...) -> None: ...

class Roll(_message.Message):
    __slots__ = ("done", "now", "todo")
    DONE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    TODO_FIELD_NUMBER: _ClassVar[int]
    done: _containers.RepeatedScalarFieldContainer[str]
    now: str
    todo: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, done: _Optional[_Iterable[str]] = ..., now: _Optional[str] = ..., todo: _Optional[_Iterable[str]] = ...) -> None: ...

class ClusterStatus(_message.Message):
    __slots__ = ("cluster", "target", "services", "wanted", "replicas", "supervisor_pid", "log_folder", "service_spec", "roll", "versions")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SUPERVISOR_PID_FIELD_NUMBER: _ClassVar[int]
    LOG_FOLDER_FIELD_NUMBER: _ClassVar[int]
    SERVICE_SPEC_FIELD_NUMBER: _ClassVar[int]
    ROLL_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    target: str
    services: _containers.RepeatedScalarFieldContainer[str]
    wanted: int
    replicas: _containers.RepeatedCompositeFieldContainer[ReplicaStatus]
    supervisor_pid: int
    log_folder: str
    service_spec: str
    roll: Roll
    versions: _containers.RepeatedCompositeFieldContainer[VersionStatus]
    def __init__(self, cluster: _Optional[str] = ..., target: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., wanted: _Optional[int] = ..., replicas: _Optional[_Iterable[_Union[ReplicaStatus, _Mapping]]] = ..., supervisor_pid: _Optional[int] = ..., log_folder: _Optional[str] = ..., service_spec: _Optional[str] = ..., roll: _Optional[_Union[Roll, _Mapping]] = ..., versions: _Optional[_Iterable[_Union[VersionStatus, _Mapping]]] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReplicaStats(_message.Message):
    __slots__ = ("id", "address", "health", "calls", "in_flight", "uptime_s", "services", "streams", "open_streams", "messages_received", "messages_sent", "fault")
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
    FAULT_FIELD_NUMBER: _ClassVar[int]
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
    fault: Fault
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., health: _Optional[str] = ..., calls: _Optional[int] = ..., in_flight: _Optional[int] = ..., uptime_s: _Optional[float] = ..., services: _Optional[_Iterable[str]] = ..., streams: _Optional[int] = ..., open_streams: _Optional[int] = ..., messages_received: _Optional[int] = ..., messages_sent: _Optional[int] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ...) -> None: ...
