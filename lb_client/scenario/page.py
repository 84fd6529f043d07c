"""The result of a scenario as a page: what was done and what came of it, then each expectation and what was seen."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from lb_client.membership import natural_key
from lb_client.paper import BOLD, DIM, GREEN, RED, YELLOW
from lb_client.phrases import counted, duration
from lb_client.scenario import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lb_client.paper import Paper
    from lb_client.report import Report
    from lb_client.scenario.judge import Judged
    from lb_client.scenario.outcome import Outcome
    from lb_client.scenario.played import Done, Happened, Played

MAX_LINES = 40
MAX_EVENT_LINES = 6
REPEATED = 2
TOOK_S = 0.05
"""What took no longer than this has no duration on the page."""

_AT = 9
_EXPECTED = 58


def page_of(outcome: Outcome, paper: Paper) -> list[str]:
    """The lines of the page, with an empty one at both ends."""
    lines = ["", f" {paper.paint(paper.fit(outcome.scenario.name), BOLD)}"]
    if outcome.scenario.about:
        lines += [f" {paper.fit(line)}" for line in textwrap.wrap(outcome.scenario.about, paper.width - 2)]
    lines.append("")
    if outcome.played is not None:
        lines += _timeline(outcome, outcome.played, paper)
        lines.append("")
    if outcome.judged:
        lines += _expectations(outcome.judged, paper)
        lines.append("")
    return [*lines, _verdict(outcome, paper), *_advice(outcome, paper), ""]


def _timeline(outcome: Outcome, played: Played, paper: Paper) -> list[str]:
    calls, plan = outcome.scenario.calls, outcome.scenario.plan
    how = f"{calls.rate:g} a second" if calls.rate is not None else f"{calls.concurrency} at a time"
    first = f"calls begin: {how}, {calls.policy.name} over {counted(plan.replicas, 'replica')}"
    lines = [_line(paper, 0.0, first)]
    rest = _moments(played)
    body: list[str] = []
    seen: Counter[int] = Counter()
    for at_s, line in rest:
        if isinstance(line, str):
            body.append(_line(paper, at_s, line))
            continue
        step = line[0].step
        seen[step.place.line] += 1
        # Of what is done again and again, twice is enough to see how it goes.
        if step.every_s is None or seen[step.place.line] <= REPEATED:
            body += _step(paper, at_s, line)
        elif seen[step.place.line] == REPEATED + 1:
            times = sum(done.step is step for done in played.done)
            again = f"{step.text}, every {duration(step.every_s)}: {times} times in all"
            body.append(paper.paint(_line(paper, at_s, again), DIM))
    if len(body) > MAX_LINES:
        half = MAX_LINES // 2
        more = paper.paint(paper.fit(f" {'':>{_AT}}  … {len(body) - 2 * half} more lines: --json has all of them"), DIM)
        body = [*body[:half], more, *body[-half:]]
    last = _line(paper, played.end_s - played.begin_s, _calls_end(outcome.report))
    return [*lines, *body, last]


def _moments(played: Played) -> list[tuple[float, str | tuple[Done, list[Happened]]]]:
    """Each step with what happened from it to the next one; what happened before the first stands alone."""
    found: list[tuple[float, str | tuple[Done, list[Happened]]]] = []
    events = sorted((h for h in played.happened if played.begin_s <= h.at_s <= played.end_s), key=lambda h: h.at_s)
    starts = [done.begin_s for done in played.done]
    found += [
        (event.at_s - played.begin_s, f"{event.text} {event.detail}".strip())
        for event in events
        if not starts or event.at_s < starts[0]
    ]
    for number, done in enumerate(played.done):
        end_s = starts[number + 1] if number + 1 < len(starts) else float("inf")
        mine = [event for event in events if done.begin_s <= event.at_s < end_s]
        found.append((done.begin_s - played.begin_s, (done, mine)))
    return found


def _step(paper: Paper, at_s: float, what: tuple[Done, list[Happened]]) -> list[str]:
    done, events = what
    text = done.step.text
    if done.whom and done.step.whom.group in ("any", "zone", "version"):
        text += f" ({', '.join(done.whom)})"
    if done.error:
        return [paper.paint(_line(paper, at_s, f"{text}: {done.error}"), RED)]
    took_s = done.end_s - done.begin_s
    note = f"  done after {duration(took_s)}" if took_s > TOOK_S else ""
    head = f" {at_s:>{_AT - 2}.2f} s  {paper.paint(paper.fit(text), BOLD)}{paper.paint(paper.fit(note), DIM)}"
    told = [f"{event.text} +{duration(event.at_s - done.begin_s)}" for event in events]
    indent = " " * (_AT + 5)
    lines = _packed(told, max(40, paper.width - len(indent) - 1))
    return [head, *(paper.paint(f"{indent}{paper.fit(line)}", DIM) for line in lines)]


def _packed(items: Sequence[str], width: int) -> list[str]:
    """The items in a few lines, none of them broken, and how many found no room."""
    lines: list[str] = []
    for number, item in enumerate(items):
        if lines and len(lines[-1]) + 3 + len(item) <= width:
            lines[-1] += f" · {item}"
        elif len(lines) == MAX_EVENT_LINES:
            return [*lines, f"… and {len(items) - number} more"]
        else:
            lines.append(item)
    return lines


def _line(paper: Paper, at_s: float, text: str) -> str:
    return f" {at_s:>{_AT - 2}.2f} s  {paper.fit(text)}"


def _calls_end(report: Report | None) -> str:
    if report is None:
        return "calls end"
    # A replica that was restarted has a row for each address.
    calls: Counter[str] = Counter()
    for row in report.rows.known:
        calls[row.label] += row.calls
    shares = figures.told(dict(sorted(calls.items(), key=lambda item: natural_key(item[0], ""))))
    rate = f"{report.rate_per_s:,.0f}/s"
    return f"calls end: {counted(report.calls, 'call')}, {report.failed:,} failed, {rate}; {shares}"


def _expectations(judged: Sequence[Judged], paper: Paper) -> Iterator[str]:
    width = min(max(len(one.expectation.text) for one in judged), max(30, paper.width - 40), _EXPECTED)
    for one in judged:
        mark, code = ("✔", GREEN) if one.passed else ("✘", RED)
        text, *more = textwrap.wrap(paper.fit(one.expectation.text), width, subsequent_indent="  ") or [""]
        seen, *also = textwrap.wrap(paper.fit(one.seen), max(24, paper.width - width - 7)) or [""]
        painted = seen if one.passed else paper.paint(seen, BOLD)
        yield f" {paper.paint(paper.fit(mark), code)} {text:<{width}}  {painted}"
        for number in range(max(len(more), len(also))):
            left = more[number] if number < len(more) else ""
            right = also[number] if number < len(also) else ""
            yield f"   {left:<{width}}  {right}".rstrip()


def _verdict(outcome: Outcome, paper: Paper) -> str:
    if outcome.error:
        return paper.paint(paper.fit(f" ✘ Not played: {outcome.error}"), RED, BOLD)
    if outcome.interrupted:
        return paper.paint(paper.fit(" ✘ Interrupted: nothing is judged, nothing is left running"), YELLOW, BOLD)
    met, all_of_them = sum(one.passed for one in outcome.judged), len(outcome.judged)
    took = f"{duration(outcome.elapsed_s)}, seed {outcome.seed}"
    if outcome.passed:
        return paper.paint(paper.fit(f" ✔ Passed: {counted(met, 'expectation')} met, {took}"), GREEN, BOLD)
    undone = f", {counted(len(outcome.undone), 'step')} not done" if outcome.undone else ""
    line = f" ✘ Failed: {all_of_them - met} of {counted(all_of_them, 'expectation')} not met{undone}, {took}"
    return paper.paint(paper.fit(line), RED, BOLD)


def _advice(outcome: Outcome, paper: Paper) -> list[str]:
    lines = [
        f"   {outcome.scenario.source}:{one.expectation.place.line}: {one.expectation.text}"
        for one in outcome.judged
        if not one.passed
    ]
    lines += [f"   {outcome.scenario.source}:{one.step.place.line}: {one.error}" for one in outcome.undone]
    if outcome.kept:
        lines.append(f"   its cluster goes on: LBDEMO_STATE_DIR={outcome.kept} lbdemo status (then: … lbdemo down)")
    return [paper.paint(paper.fit(line), DIM) for line in lines]
