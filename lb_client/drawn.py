"""The verdict on calls that were drawn: by weights among endpoints, by shares among versions. Pure.

Where versions are drawn, calls go in turn within each; where endpoints are, nothing is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client.chance import bounds, is_possible
from lb_client.membership import natural_key
from lb_client.phrases import and_more, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lb_client.verdict import Count, Stretch

_Cells = dict[str, tuple[int, float]]
SHOWN = 6


def is_drawn(stretches: Iterable[Stretch]) -> bool:
    """Whether chance has a part in any of them."""
    return any(count.expected.share is not None for stretch in stretches for count in stretch.counts)


def cells_of(stretch: Stretch) -> _Cells:
    """What is drawn, by name: calls, and the share that was to be expected. Versions, or endpoints by weight."""
    found: _Cells = {}
    for count in stretch.counts:
        name = count.label if count.expected.drawn or not count.expected.part else count.expected.part
        calls, share = found.get(name, (0, 0.0))
        found[name] = (calls + count.calls, share + (count.expected.share or 0.0))
    return dict(sorted(found.items(), key=lambda item: natural_key(item[0], "")))


def promise(stretches: Sequence[Stretch], how: str = "within what chance allows") -> str:
    """What is to be expected, with its numbers where nothing changed."""
    if len(stretches) != 1:
        return "between changes, each gets its share of the calls, within what chance allows (one in a million)"
    cells = cells_of(stretches[0])
    calls = sum(number for number, _ in cells.values())
    told = []
    for name, (_, share) in list(cells.items())[:SHOWN]:
        least, most = bounds(calls, share)
        told.append(f"{name} {share * 100:.4g} % ({least:,} to {most:,})" if least < most else f"{name} {most:,}")
    more = f" and {len(cells) - SHOWN} more" if len(cells) > SHOWN else ""
    return f"{', '.join(told)}{more}, {how}"


def judge(stretches: Sequence[Stretch], *, unjudged: int) -> tuple[bool | None, str]:
    """Whether the calls are spread as weights and shares say, and that in a sentence."""
    judged = [stretch for stretch in stretches if stretch.calls and stretch.counts]
    if not judged:
        return None, "The endpoints changed all the time: there is no stretch of the run that can be judged."
    lost, calls = sum(s.lost for s in judged), sum(s.calls for s in judged)
    if any(stretch.lost > len(stretch.counts) for stretch in judged):
        return None, f"The spread cannot be said: of {counted(calls, 'call')}, {lost:,} are not known to have arrived."
    for stretch in judged:
        cells = cells_of(stretch)
        if not is_possible([number for number, _ in cells.values()], [share for _, share in cells.values()]):
            return False, _off_sentence(cells, len(judged) > 1)
    uneven = [part for stretch in judged for part in _uneven_parts(stretch)]
    if uneven:
        return False, f"The shares hold, and within {and_more(sorted(set(uneven)))} calls did not go in turn."
    return True, _good_sentence(judged, calls, unjudged)


def _uneven_parts(stretch: Stretch) -> list[str]:
    """The versions within which counts differ by more than one; those whose lost calls could hide it are left out."""
    parts: dict[str, list[Count]] = {}
    for count in stretch.counts:
        if not count.expected.drawn:
            parts.setdefault(count.expected.part, []).append(count)
    return [
        part
        for part, counts in parts.items()
        if max(c.calls for c in counts) - min(c.calls for c in counts) > counts[0].expected.rounds + stretch.lost
    ]


def _off_sentence(cells: _Cells, several: bool) -> str:
    calls = sum(number for number, _ in cells.values())
    name, (number, share) = max(
        cells.items(), key=lambda item: abs(item[1][0] - calls * item[1][1]) / max(1.0, (calls * item[1][1]) ** 0.5)
    )
    least, most = bounds(calls, share)
    where = " between changes" if several else ""
    return (
        f"Not as the shares say{where}: {name} got {number:,} of {counted(calls, 'call')}, "
        f"where {share * 100:.4g} % is {least:,} to {most:,}."
    )


def _good_sentence(judged: Sequence[Stretch], calls: int, unjudged: int) -> str:
    weighted = any(count.expected.drawn for stretch in judged for count in stretch.counts)
    by = "weights" if weighted else "shares"
    aside = f"; {counted(unjudged, 'call')} too close to a change to judge" if unjudged else ""
    if len(judged) > 1:
        return f"As the {by} say between changes: {counted(calls, 'call')} in {len(judged)} stretches{aside}."
    cells = cells_of(judged[0])
    told = ", ".join(f"{name} {number:,}" for name, (number, _) in list(cells.items())[:SHOWN])
    more = f" and {len(cells) - SHOWN} more" if len(cells) > SHOWN else ""
    turn = "" if weighted else "; within each version in turn"
    return f"As the {by} say: {counted(calls, 'call')}, {told}{more}{turn}{aside}."
