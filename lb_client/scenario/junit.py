"""Outcomes as JUnit's XML, which build servers read: a suite for each scenario, a case for each expectation. Pure.

There is no standard of it; this keeps to what Jenkins' schema takes
(https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lb_client.scenario.outcome import Outcome


def as_xml(outcomes: Sequence[Outcome]) -> str:
    """The file's text."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="lbdemo run">']
    for outcome in outcomes:
        lines += _suite(outcome)
    return "\n".join([*lines, "</testsuites>", ""])


def _suite(outcome: Outcome) -> Iterator[str]:
    name, source = outcome.scenario.name, outcome.scenario.source
    cases = [(judged.expectation.text, "" if judged.passed else f"seen: {judged.seen}") for judged in outcome.judged]
    cases += [(done.step.text, done.error) for done in outcome.undone]
    broken = outcome.error or ("interrupted" if outcome.interrupted else "")
    failures = sum(bool(why) for _, why in cases)
    counts = f'tests="{len(cases) + bool(broken)}" failures="{failures}" errors="{int(bool(broken))}"'
    yield f'  <testsuite name={_attribute(name)} {counts} time="{outcome.elapsed_s:.3f}">'
    if broken:
        yield f"    <testcase classname={_attribute(source)} name={_attribute('it is played')}>"
        yield f"      <error message={_attribute(broken)}/>"
        yield "    </testcase>"
    for text, why in cases:
        end = ">" if why else "/>"
        yield f"    <testcase classname={_attribute(source)} name={_attribute(text)}{end}"
        if why:
            yield f"      <failure message={_attribute(why)}>{_clean(escape(f'{text}: {why}'))}</failure>"
            yield "    </testcase>"
    yield "  </testsuite>"


def _attribute(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    """XML 1.0 has no room for most control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
