"""Where a replica is in its life: one word for who decides, who tells and who shows."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Where a replica is in its life; the names are those of `lbdemo.v1.Phase`."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    BACKING_OFF = "backing off"
    FAILED = "failed"
    STOPPED = "stopped"
