"""The `lbdemo` command: its door here, its root in root.py, one module for each subcommand, imported when it is run."""

from __future__ import annotations

import os
import sys

from lb_client.cli import interrupts

__all__ = ["main"]


def main() -> None:
    """Run the command; never returns.

    Exit codes: 0 all well, 1 a call or an action failed, 2 usage, 130 interrupted by Ctrl-C.
    """
    interrupts.leave_at_once()
    # Core would write lines of its own between ours, about every connection that ends (`I1122 … Got goaway`). For this
    # process and those that it starts; gRPC reads it when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from lb_client.cli.root import run  # noqa: PLC0415 -- only now: Ctrl-C in the middle of it ends well

    try:
        code = run()
        interrupts.ignore()
    except KeyboardInterrupt:
        # A second one, while the first was being answered.
        interrupts.ignore()
        code = interrupts.CODE
    sys.exit(code)
