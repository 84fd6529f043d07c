"""How a fleet looks on a terminal and in a pipe: the table of `status`, the line and the bar of progress."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backends.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from backends.view import ClusterView, ReplicaView

PATIENCE_S = 1.0
"""What takes longer than this shows that it goes on."""

_PHASE_STYLES = {
    Phase.STARTING: "cyan",
    Phase.RUNNING: "green",
    Phase.DRAINING: "yellow",
    Phase.BACKING_OFF: "yellow",
    Phase.FAILED: "bold red",
    Phase.STOPPED: "dim",
}
_HEALTH_STYLES = {"SERVING": "green", "NOT_SERVING": "yellow", "UNREACHABLE": "bold red", "UNKNOWN": "dim"}
_HEADERS = (
    "REPLICA",
    "ADDRESS",
    "ZONE",
    "VERSION",
    "WEIGHT",
    "HEALTH",
    "PHASE",
    "CALLS",
    "IN FLIGHT",
    "STREAMS",
    "UPTIME",
    "PID",
    "RESTARTS",
    "NOTE",
)
_DISPENSABLE = ("RESTARTS", "PID", "UPTIME", "IN FLIGHT", "PHASE", "NOTE")
"""What a narrow terminal does without, in this order; restarts and phases only while there is nothing to see, and notes
then stand below."""

_RIGHT = {"WEIGHT", "CALLS", "IN FLIGHT", "STREAMS", "UPTIME", "PID", "RESTARTS"}


def is_terminal() -> bool:
    """Whether the results go to somebody's screen."""
    return sys.stdout.isatty()


def span(seconds: float) -> str:
    """A length of time as people say it: 9.3s, 4m05s, 2h03m, 3d04h."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def cells(replica: ReplicaView) -> tuple[str, ...]:
    """One row of the table, as text."""
    runs = replica.pid > 0
    return (
        replica.id,
        replica.address or "-",
        replica.zone or "-",
        replica.version or "-",
        str(replica.weight),
        replica.health,
        replica.phase.value,
        str(replica.calls),
        str(replica.in_flight),
        str(replica.streams),
        span(replica.uptime_s) if runs else "-",
        str(replica.pid) if runs else "-",
        str(replica.restarts),
        replica.note,
    )


def heading(view: ClusterView) -> str:
    """The line above the table."""
    what = ", ".join(view.services) or view.service or ""
    line = f"cluster {view.cluster}: {view.serving} of {view.wanted} replicas serve {what}".rstrip()
    if view.roll is not None:
        line += f"; rolling restart: {len(view.roll.done)} of {view.roll.total} done"
    shares = shares_line(view)
    return f"{line}; {shares}" if shares else line


def shares_line(view: ClusterView) -> str:
    """Which version gets which part of the calls: `shares: v1 the rest, v2 10 %`; "" where there are no shares."""
    if all(v.share is None for v in view.versions):
        return ""
    told = ", ".join(f"{v.name} {'the rest' if v.share is None else f'{v.share:g} %'}" for v in view.versions)
    return f"shares: {told}"


def plain_table(view: ClusterView) -> str:
    """The table for a pipe: columns by width, no colour, no frame."""
    headers = _telling(view)
    rows = [headers, *([dict(zip(_HEADERS, cells(r), strict=True))[h] for h in headers] for r in view.replicas)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(headers))]
    lines = [
        "  ".join(
            text.rjust(width) if header in _RIGHT else text.ljust(width)
            for text, width, header in zip(row, widths, headers, strict=True)
        ).rstrip()
        for row in rows
    ]
    shares = [line for line in [shares_line(view)] if line]
    return "\n".join([*lines, *shares, *reasons(view)])


def reasons(view: ClusterView) -> list[str]:
    """One line for each replica that is in trouble."""
    return [f"{r.id}: {r.reason} (log: {view.log_folder}/{r.id}.log)" for r in view.replicas if r.reason]


def notes(view: ClusterView) -> list[str]:
    """One line for each replica to which something was done on purpose."""
    return [f"{r.id}: {r.note}" for r in view.replicas if r.note]


def _telling(view: ClusterView) -> list[str]:
    """The headers of the columns that say anything: zones where there are some, versions and weights that differ."""
    silent = set()
    if not any(r.zone for r in view.replicas):
        silent.add("ZONE")
    if len(view.versions) < 2 and len({r.version for r in view.replicas}) < 2:
        silent.add("VERSION")
    if len({r.weight for r in view.replicas}) < 2:
        silent.add("WEIGHT")
    if not any(r.note for r in view.replicas):
        silent.add("NOTE")
    return [header for header in _HEADERS if header not in silent]


def shown(view: ClusterView, width: int) -> tuple[str, ...]:
    """The headers of the columns that fit into so many cells."""
    rows = [_HEADERS, *(cells(r) for r in view.replicas)]
    widths = {header: max(len(row[i]) for row in rows) + 2 for i, header in enumerate(_HEADERS)}
    needed = {"RESTARTS"} if any(r.restarts for r in view.replicas) else set()
    if any(r.phase is not Phase.RUNNING for r in view.replicas):
        needed.add("PHASE")
    kept = _telling(view)
    for header in _DISPENSABLE:
        if header in kept and header not in needed and sum(widths[h] for h in kept) - 2 > width:
            kept.remove(header)
    return tuple(kept)


def rich_table(view: ClusterView, width: int = 1000) -> Table:
    """The table for a terminal of so many columns."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 -- only a terminal pays for rich
    from rich.table import Table  # noqa: PLC0415 -- the same
    from rich.text import Text  # noqa: PLC0415 -- the same

    # One cell beside the box's own: two between columns, as in a pipe.
    table = Table(
        box=SIMPLE_HEAD, header_style="bold", pad_edge=False, title=None, show_edge=False, padding=(0, 1, 0, 0)
    )
    headers = shown(view, width)
    for header in headers:
        table.add_column(header, justify="right" if header in _RIGHT else "left", no_wrap=True)
    for replica in view.replicas:
        row = {header: Text(text) for header, text in zip(_HEADERS, cells(replica), strict=True)}
        row["REPLICA"].stylize("bold")
        row["HEALTH"].stylize(_HEALTH_STYLES.get(replica.health, ""))
        row["PHASE"].stylize(_PHASE_STYLES[replica.phase])
        row["NOTE"].stylize("yellow")
        if replica.restarts:
            row["RESTARTS"].stylize("yellow")
        table.add_row(*(row[header] for header in headers))
    return table


def console(*, stderr: bool = False) -> Console:
    """A rich console that keeps its hands off our text; NO_COLOR is rich's own affair."""
    from rich.console import Console  # noqa: PLC0415 -- only a terminal pays for rich

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)


def styled(text: str, **style: bool | str) -> str:
    """Text for click.echo, coloured unless NO_COLOR is set; click itself leaves colours away in a pipe."""
    import click  # noqa: PLC0415 -- keeps this module free of it for who only wants the tables

    return text if os.environ.get("NO_COLOR") else click.style(text, **style)  # type: ignore[arg-type]  # fg and flags


class ProgressBar:
    """A watcher that shows a bar on the terminal once things take longer than a second."""

    def __init__(self, doing: str, done: Callable[[ClusterView], tuple[int, int]]) -> None:
        self._doing = doing
        self._done = done
        self._began = time.monotonic()
        self._bar: Progress | None = None

    def __call__(self, view: ClusterView) -> None:
        """Show how far it is."""
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return
        if time.monotonic() - self._began < PATIENCE_S:
            return
        completed, total = self._done(view)
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task(self._doing, total=total)
            self._bar.tasks[0].start_time = self._bar.get_time() - (time.monotonic() - self._began)
        self._bar.update(self._bar.tasks[0].id, completed=completed, total=total)

    def clear(self) -> None:
        """Take the bar from the screen, for a line to be printed; the next look shows another."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def progress(doing: str, done: Callable[[ClusterView], tuple[int, int]]) -> Iterator[ProgressBar]:
    """What shows, as long as the block lasts, that it goes on.

    Args:
        doing: What is under way, a verb.
        done: How much of how much, from the cluster.
    """
    bar = ProgressBar(doing, done)
    try:
        yield bar
    finally:
        bar.clear()


def _bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 -- only who waits pays

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console(stderr=True), transient=True)
