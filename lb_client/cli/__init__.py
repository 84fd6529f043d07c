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
    # Only now, as everything else: Ctrl-C in the middle of an import ends well.
    from backends import head_start  # noqa: PLC0415

    if sys.argv[1:2] == ["up"]:
        head_start.begin()
    from backends import core_environment  # noqa: PLC0415

    core_environment.prepare(os.environ)  # for this process and those that it starts
    from lb_client.cli.root import run  # noqa: PLC0415

    try:
        code = run()
        interrupts.ignore()
    except KeyboardInterrupt:
        # A second one, while the first was being answered.
        interrupts.ignore()
        code = interrupts.CODE
    head_start.give_up()
    sys.exit(code)
