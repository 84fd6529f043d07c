"""How a scenario ended, as a value and as JSON. Pages are drawn by page.py, JUnit's XML by junit.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lb_client.report import Report
    from lb_client.scenario.judge import Judged
    from lb_client.scenario.model import Scenario
    from lb_client.scenario.played import Done, Played


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One scenario that was played, or could not be.

    Attributes:
        scenario: What was to be played.
        seed: What `any` was drawn with.
        elapsed_s: All of it, the start of the cluster included.
        played: What came of it; None where calls never began.
        judged: Each expectation and what was seen; none where nothing was played to the end.
        report: That of the calls, as of `lbdemo call`.
        error: Why it could not be played; "" where it was.
        interrupted: Whether somebody ended it before its time.
        kept: Where its cluster is that was kept; "" for none.
    """

    scenario: Scenario
    seed: int
    elapsed_s: float = 0.0
    played: Played | None = None
    judged: tuple[Judged, ...] = ()
    report: Report | None = None
    error: str = ""
    interrupted: bool = False
    kept: str = ""

    @property
    def undone(self) -> tuple[Done, ...]:
        """Steps that could not be done."""
        return () if self.played is None else tuple(done for done in self.played.done if done.error)

    @property
    def passed(self) -> bool:
        """Whether everything was done, and all was as expected."""
        all_done = not self.error and not self.interrupted and not self.undone
        return all_done and bool(self.judged) and all(judged.passed for judged in self.judged)

    def as_dict(self) -> dict[str, Any]:
        """What `lbdemo run --json` prints of it: a contract, keys are added and never renamed."""
        begin_s = self.played.begin_s if self.played is not None else 0.0
        done = self.played.done if self.played is not None else ()
        happened = self.played.happened if self.played is not None else ()
        return {
            "name": self.scenario.name,
            "source": self.scenario.source,
            "passed": self.passed,
            "error": self.error or None,
            "interrupted": self.interrupted,
            "seed": self.seed,
            "elapsed_s": round(self.elapsed_s, 3),
            "steps": [
                {
                    "line": one.step.place.line,
                    "name": one.step.name,
                    "step": one.step.text,
                    "replicas": list(one.whom),
                    "begin_s": round(one.begin_s - begin_s, 3),
                    "end_s": round(one.end_s - begin_s, 3),
                    "error": one.error or None,
                }
                for one in done
            ],
            "events": [
                {"at_s": round(h.at_s - begin_s, 3), "replica": h.subject or None, "kind": h.kind, "detail": h.detail}
                for h in happened
            ],
            "expectations": [
                {
                    "line": judged.expectation.place.line,
                    "expected": judged.expectation.text,
                    "passed": judged.passed,
                    "seen": judged.seen,
                }
                for judged in self.judged
            ],
            "report": self.report.as_dict() if self.report is not None else None,
        }
