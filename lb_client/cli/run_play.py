"""One scenario from the start of its cluster to its outcome: started, played, judged, gone."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from backends.cluster_errors import ClusterError
from lb_client.cli import interrupts
from lb_client.cli.common import Failure
from lb_client.cli.run_stage import Stage
from lb_client.cli.session import Warnings
from lb_client.scenario.errors import StepError
from lb_client.scenario.judge import judge
from lb_client.scenario.outcome import Outcome

if TYPE_CHECKING:
    from lb_client.cli.run_screen import PlayScreen
    from lb_client.cli.run_session import Performance
    from lb_client.scenario.model import Scenario


def play(scenario: Scenario, *, seed: int, may_keep: bool, screen: PlayScreen) -> Outcome:
    """Play it on a cluster of its own; nothing of that is left, unless it failed and may be kept.

    Args:
        scenario: What to play, checked.
        seed: Which replicas `any` takes.
        may_keep: Whether to keep the cluster of one that fails.
        screen: Where to show how it goes.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first call.
    """
    began = time.monotonic()
    warnings = Warnings.of_resolver()
    kept = ""
    try:
        with Stage(scenario.plan, may_keep=may_keep) as stage:
            outcome = _outcome_on(stage, scenario, seed, screen)
            if may_keep and not outcome.passed and not outcome.interrupted:
                stage.keep()
                kept = stage.kept
            interrupts.pass_over()
    except (ClusterError, OSError) as failure:
        outcome = Outcome(scenario=scenario, seed=seed, error=str(failure))
    finally:
        # What the resolver would warn of was broken on purpose.
        warnings.forget()
        warnings.print()
    interrupts.unwind()
    return replace(outcome, elapsed_s=time.monotonic() - began, kept=kept)


def _outcome_on(stage: Stage, scenario: Scenario, seed: int, screen: PlayScreen) -> Outcome:
    try:
        with screen:
            screen.starting()
            stage.wait()
            from lb_client.cli.run_session import perform  # noqa: PLC0415 -- brings gRPC, after which nothing may fork

            result = perform(scenario, stage, random.Random(seed), screen)  # noqa: S311 -- it is to be repeatable
    except (ClusterError, Failure, StepError) as failure:
        return Outcome(scenario=scenario, seed=seed, error=str(failure))
    return _judged(scenario, seed, result)


def _judged(scenario: Scenario, seed: int, result: Performance) -> Outcome:
    played, report = result
    if report.run.stopped:
        return Outcome(scenario=scenario, seed=seed, played=played, report=report, interrupted=True)
    judged = tuple(judge(played, expectation) for expectation in scenario.expectations)
    return Outcome(scenario=scenario, seed=seed, played=played, judged=judged, report=report)
