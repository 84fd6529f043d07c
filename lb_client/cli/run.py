"""`lbdemo run`: plays scenarios, each on a cluster of its own, and tells whether all was as they expect."""

from __future__ import annotations

import json
import secrets
import sys
from typing import TYPE_CHECKING

import click

from lb_client.cli import interrupts
from lb_client.cli.common import Between, Failure
from lb_client.cli.output_file import check_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lb_client.scenario.model import Scenario
    from lb_client.scenario.outcome import Outcome

MAX_SEED = 2**32 - 1


@click.command(short_help="Play a scenario: calls, faults at times, and what is expected.")
@click.argument("scenarios", nargs=-1, metavar="[FILE|NAME]...")
@click.option("--list", "as_list", is_flag=True, help="List the scenarios that come with lbdemo.")
@click.option("--all", "take_all", is_flag=True, help="Play all of these, one after the other.")
@click.option("--show", is_flag=True, help="Print the file instead of playing it: to begin your own with.")
@click.option("--check", "only_check", is_flag=True, help="Only read it, and say what is wrong with it.")
@click.option(
    "--seed",
    type=Between(0, MAX_SEED, "seed"),
    metavar="N",
    help="Draws what a scenario leaves to chance  [default: drawn, and told]",
)
@click.option("--keep", is_flag=True, help="Leave the cluster of a scenario that fails running, for you to look at.")
@click.option("--junit", metavar="FILE", callback=check_file, help="Write the results as JUnit's XML too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    scenarios: tuple[str, ...],
    as_list: bool,
    take_all: bool,
    show: bool,
    only_check: bool,
    seed: int | None,
    keep: bool,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Play scenarios and say whether all was as they expect.

    A scenario is a YAML file: a cluster, calls, what is done to it and when, and what is expected of the calls. Each is
    played on a cluster of its own, which nobody else sees and of which nothing is left; yours are not touched.

    \b
    lbdemo run rolling-restart             one that comes with lbdemo: see --list
    lbdemo run rolling-restart --show      its file, to begin your own with
    lbdemo run mine.yaml --junit out.xml   yours, on a build server

    Exit codes: 0 all passed, 1 one did not, 2 usage, or a file that is no scenario, 130 ended by Ctrl-C.
    """  # noqa: D301 -- \b is the character by which click leaves a paragraph's lines alone
    interrupts.leave_at_once()
    if as_list:
        if scenarios:
            raise click.UsageError("--list tells all that come with lbdemo: name none beside it.")
        _list(as_json=as_json)
        return
    names = _names(scenarios, take_all=take_all)
    if show:
        from lb_client.cli.run_files import data_of  # noqa: PLC0415 -- help needs none of it

        click.echo(b"\n".join(data_of(name).rstrip() + b"\n" for name in names), nl=False)
        return
    from lb_client.cli.run_files import scenario_of  # noqa: PLC0415 -- help needs none of it

    # All of them first: a typo in the last one is told before the first one is played.
    sound = [scenario_of(name) for name in names]
    if only_check:
        _tell_sound(sound, as_json=as_json)
        return
    seed = secrets.randbelow(MAX_SEED + 1) if seed is None else seed
    outcomes = []
    for outcome in _played(sound, seed=seed, keep=keep, quiet=as_json and not sys.stderr.isatty()):
        outcomes.append(outcome)
        if not as_json:
            _print(outcome)
        if outcome.interrupted:
            break
    _finish(outcomes, junit, as_json=as_json)
    ctx.exit(_code(outcomes))


def _names(scenarios: tuple[str, ...], *, take_all: bool) -> list[str]:
    from lb_client.scenario import shipped  # noqa: PLC0415 -- help needs none of it

    if take_all and scenarios:
        raise click.UsageError("--all plays those that come with lbdemo: name none beside it.")
    if not take_all and not scenarios:
        raise click.UsageError("which scenario? Name a file, or one of 'lbdemo run --list'.")
    return shipped.names() if take_all else list(scenarios)


def _list(*, as_json: bool) -> None:
    from lb_client.cli.fleet_view import styled  # noqa: PLC0415 -- help needs none of it
    from lb_client.cli.run_files import scenario_of  # noqa: PLC0415 -- the same
    from lb_client.paper import Paper  # noqa: PLC0415 -- the same
    from lb_client.scenario import shipped  # noqa: PLC0415 -- the same

    found = [(name, scenario_of(name)) for name in shipped.names()]
    if as_json:
        rows = [
            {
                "name": n,
                "title": s.name,
                "about": s.about,
                "replicas": s.plan.replicas,
                "duration_s": None if s.calls.until else s.calls.duration_s,
            }
            for n, s in found
        ]
        click.echo(json.dumps({"scenarios": rows}))
        return
    paper = Paper.of(sys.stdout)
    for name, scenario in found:
        click.echo(styled(name, bold=True))
        click.echo(click.wrap_text(paper.fit(scenario.about), paper.width, "  ", "  "))


def _tell_sound(scenarios: Sequence[Scenario], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"source": s.source, "name": s.name, "steps": len(s.steps), "expectations": len(s.expectations)}
            for s in scenarios
        ]
        click.echo(json.dumps({"scenarios": rows}))
        return
    from lb_client.phrases import counted  # noqa: PLC0415 -- help needs none of it

    for one in scenarios:
        counts = [
            counted(one.plan.replicas, "replica"),
            f"calls {one.calls.length}" if one.calls.until else f"{one.calls.length} of calls",
            counted(len(one.steps), "step"),
        ]
        click.echo(f"{one.source}: sound: {', '.join(counts)}, {counted(len(one.expectations), 'expectation')}")


def _played(scenarios: Sequence[Scenario], *, seed: int, keep: bool, quiet: bool) -> Iterator[Outcome]:
    from lb_client.cli.run_play import play  # noqa: PLC0415 -- help needs none of it
    from lb_client.cli.run_screen import PlayScreen  # noqa: PLC0415 -- the same

    interrupts.unwind()
    for scenario in scenarios:
        try:
            yield play(scenario, seed=seed, may_keep=keep, screen=PlayScreen(scenario, quiet=quiet))
        except KeyboardInterrupt:
            interrupts.pass_over()
            raise Failure("interrupted; nothing is left running", exit_code=interrupts.CODE) from None


def _print(outcome: Outcome) -> None:
    from lb_client.paper import Paper  # noqa: PLC0415 -- help needs none of it
    from lb_client.scenario.page import page_of  # noqa: PLC0415 -- the same

    click.echo("\n".join(page_of(outcome, Paper.of(sys.stdout))), color=True)


def _finish(outcomes: Sequence[Outcome], junit: Path | None, *, as_json: bool) -> None:
    if as_json:
        passed = all(outcome.passed for outcome in outcomes)
        click.echo(json.dumps({"passed": passed, "scenarios": [outcome.as_dict() for outcome in outcomes]}))
    elif len(outcomes) > 1:
        failed = [outcome.scenario.source for outcome in outcomes if not outcome.passed]
        click.echo(
            f" {len(outcomes) - len(failed)} of {len(outcomes)} scenarios passed"
            + (f"; not: {', '.join(failed)}" if failed else "")
        )
    if junit is not None:
        from lb_client.scenario.junit import as_xml  # noqa: PLC0415 -- only who asks for it

        try:
            junit.write_text(as_xml(outcomes), encoding="utf-8")
        except OSError as error:
            raise Failure(f"--junit {junit}: {error.strerror}") from None


def _code(outcomes: Sequence[Outcome]) -> int:
    if any(outcome.interrupted for outcome in outcomes):
        return interrupts.CODE
    return 0 if all(outcome.passed for outcome in outcomes) else 1
