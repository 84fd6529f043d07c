"""Why a command about a cluster ends badly. Each is named after what its reader should do next.

    ClusterError
    ├── StateFolderError      give another folder, or mend this one
    ├── NotRunningError       start the cluster
    ├── NotAnsweringError     look after the supervisor: it lives and is silent
    ├── OtherServiceError     stop the cluster first, or ask for what it runs
    ├── OtherLayoutError      stop the cluster first, or leave the zones and weights away
    ├── NoRoomError           ask for fewer replicas, or let processes open more files
    ├── CannotStartError      mend what keeps the replicas from starting
    ├── NotServingInTimeError look into the logs, or wait longer
    ├── SupervisorLostError   look into the supervisor's log
    ├── UnknownReplicaError   name one that there is
    └── RefusedError          wait, or undo first what is in the way

The text of each is one clear line. Only the command turns them into messages and exit codes.
"""

from __future__ import annotations

STOPPING = "the cluster is stopping"
"""What a supervisor says that starts nothing any more."""


class ClusterError(Exception):
    """What went wrong with a cluster, in one line that also says what to do."""


class StateFolderError(ClusterError):
    """The state folder cannot be used: not ours, not private, not writable, or too deep for a unix socket."""


class NotRunningError(ClusterError):
    """No supervisor lives for this cluster."""


class NotAnsweringError(ClusterError):
    """A supervisor lives and gives no answer in time.

    Attributes:
        pid: Its process, as the kernel tells it of the socket; 0 when not even the socket is there.
    """

    def __init__(self, message: str, *, pid: int) -> None:
        super().__init__(message)
        self.pid = pid


class OtherServiceError(ClusterError):
    """The cluster runs another service than the one asked for."""


class OtherLayoutError(ClusterError):
    """The cluster runs with other zones or weights than those asked for."""


class NoRoomError(ClusterError):
    """So many replicas need more open files than one process may have."""


class CannotStartError(ClusterError):
    """At least one replica cannot start; what had been started for it is stopped again."""


class NotServingInTimeError(ClusterError):
    """The time is up and some replicas do not serve; the cluster is left as it is."""


class SupervisorLostError(ClusterError):
    """The supervisor ended while it was needed."""


class UnknownReplicaError(ClusterError):
    """The cluster has no replica of that name."""


class RefusedError(ClusterError):
    """It cannot be done now, or not with this replica as it is."""
