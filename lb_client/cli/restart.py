"""`lbdemo restart`: drains replicas and starts them again, at once or one after the other without a gap."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from backends.cluster_errors import CannotStartError, NotRunningError, SupervisorLostError
from lb_client.cli.common import Failure, cluster_option
from lb_client.cli.fleet_options import for_cluster
from lb_client.cli.fleet_view import progress, styled
from lb_client.cli.replica_acts import json_option, replica_arguments, run
from lb_client.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.view import ClusterView, RollView
    from lb_client.cli.fleet_view import ProgressBar


@click.command(short_help="Drain replicas and start them again.")
@replica_arguments(required=False)
@click.option("--rolling", is_flag=True, help="One after the other, each only while another serves in its place.")
@json_option
@cluster_option
def command(*, replicas: tuple[str, ...], rolling: bool, as_json: bool, cluster: str) -> None:
    """Drain replicas and start them again: those named at once, or with --rolling one after the other.

    A rolling restart of all loses no call: one spare replica more is started first, and serves in the place of each in
    turn. It stops at the first that does not come up; the others stay as they were. Ctrl-C ends it after the replica
    at hand.
    """
    if not replicas and not rolling:
        raise click.UsageError("name replicas, or use --rolling to restart all without a gap.")
    session = _Restart(cluster, replicas, rolling=rolling, says=not as_json)
    began = time.monotonic()
    try:
        with progress("restarting", session.progress) as bar:
            run(session.run(bar))
    except KeyboardInterrupt:
        raise Failure(session.interrupted(), exit_code=130) from None
    except Failure as failure:
        # Some may be done by then; where nothing was begun, as with a name that is none, there is nothing to tell.
        if as_json and session.begun:
            click.echo(json.dumps({**session.as_dict(time.monotonic() - began), "error": str(failure)}))
        raise
    elapsed_s = time.monotonic() - began
    if as_json:
        click.echo(json.dumps(session.as_dict(elapsed_s)))
    else:
        how = " one after the other" if rolling and len(session.done) > 1 else ""
        click.echo(
            styled(
                f"{counted(len(session.done), 'replica')} restarted{how} in {elapsed_s:.1f} s", fg="green", bold=True
            )
        )


class _Restart:
    """A restart as this command sees it: the cluster's last state, and which replicas are done."""

    def __init__(self, cluster: str, names: tuple[str, ...], *, rolling: bool, says: bool) -> None:
        self.done: list[str] = []
        self._cluster = cluster
        self._names = names
        self._rolling = rolling
        self._says = says
        self._last: ClusterView | None = None
        self._roll: RollView | None = None
        self._clear_the_line: Callable[[], None] = lambda: None

    async def run(self, bar: ProgressBar) -> None:
        """Ask for it, and follow it to its end."""
        self._clear_the_line = bar.clear
        from backends.cluster_client import ClusterClient, expect_known  # noqa: PLC0415 -- gRPC: help needs none

        async with ClusterClient(self._cluster) as client:
            before = await client.status()
            expect_known(before, self._names)
            try:
                async with aclosing(client.restart(self._names, rolling=self._rolling)) as views:
                    async for view in views:
                        self._take(view)
                        bar(view)
            except NotRunningError:
                raise SupervisorLostError(
                    f"cluster {self._cluster!r} has ended meanwhile: see {before.log_folder}/supervisor.log"
                ) from None
            except CannotStartError as error:
                failed = (await client.status()).failed
                log = f" (log: {before.log_folder}/{failed[0].id}.log)" if failed else ""
                raise CannotStartError(f"{error}{log}; the cluster goes on") from None
            if self._rolling:
                self._finish(self._roll)
            else:
                self._say(*self._names)

    def progress(self, _view: ClusterView) -> tuple[int, int]:
        """How many of how many are done."""
        return len(self.done), self._roll.total if self._roll else len(self._names)

    def interrupted(self) -> str:
        """What Ctrl-C leaves."""
        where = for_cluster(self._cluster)
        if not self._rolling or self._roll is None:
            return f"interrupted; what was begun goes on: see 'lbdemo status{where}'"
        now = f"{self._roll.now} is finished, then the rolling restart ends" if self._roll.now else "none is at hand"
        rest = f"; {', '.join(self._roll.todo)} as before" if self._roll.todo else ""
        return f"interrupted; {now}{rest}: see 'lbdemo status{where}'"

    @property
    def begun(self) -> bool:
        """Whether the cluster took it."""
        return self._last is not None

    def as_dict(self, elapsed_s: float) -> dict[str, object]:
        """The cluster at the end and what was done, for `--json`."""
        last = {} if self._last is None else self._last.as_dict()
        return {**last, "restarted": self.done, "rolling": self._rolling, "elapsed_s": round(elapsed_s, 3)}

    def _take(self, view: ClusterView) -> None:
        self._last = view
        if view.roll is not None:
            self._roll = view.roll
            self._say(*view.roll.done)

    def _finish(self, roll: RollView | None) -> None:
        """The last step's own status tells no roll any more."""
        if roll is not None:
            self._say(*roll.done, *([roll.now] if roll.now else []), *roll.todo)

    def _say(self, *names: str) -> None:
        for name in names:
            if name not in self.done:
                self.done.append(name)
                if self._says:
                    of = f" ({len(self.done)} of {self._roll.total})" if self._roll else ""
                    self._clear_the_line()
                    click.echo(f"{styled(name, bold=True)} serves again{of}")
