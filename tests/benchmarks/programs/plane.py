"""A worker that is a control plane for other processes: it serves a resolver target, and tells how to reach it.

What a channel costs whose control plane is elsewhere is what gRPC core's own xDS costs. Arguments: the target.
"""

from __future__ import annotations

import os
import sys

from lb_client.policy import RoundRobin
from resolver import runtime
from resolver.claims import SourceSpec
from resolver.xds.bootstrap import TEXT_VARIABLE
from tests.benchmarks.programs.talk import questions, say


def main() -> None:
    # The lease is never over: it ends with the process.
    lease = runtime.lease(SourceSpec.of(sys.argv[1], health_check=True), RoundRobin())
    say(uri=lease.uri, environ={TEXT_VARIABLE: os.environ[TEXT_VARIABLE]})
    for _ in questions():
        pass


if __name__ == "__main__":
    main()
