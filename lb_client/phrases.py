"""Numbers and lists as words for a sentence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def counted(number: int, noun: str) -> str:
    """`1 call`, `1,000 calls`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; nothing of nothing."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def and_more(words: Sequence[str], most: int = 4) -> str:
    """The first few, and how many there are beside: `a, b, c, d and 3 more`."""
    if len(words) <= most:
        return listed(words)
    return f"{', '.join(words[:most])} and {len(words) - most:,} more"


def duration(seconds: float) -> str:
    """Three figures and the unit that suits: `640 µs`, `12.3 ms`, `4.56 s`, `2 m 5 s`."""
    # Below where three figures would round up to the next unit: 999.9 µs is 1 ms, no 1e+03 µs.
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 99.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest} s" if rest else f"{minutes} m"


def printable(text: str) -> str:
    """The text with a question mark for each character that would steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def to_ascii(text: str) -> str:
    """The text for a terminal that shows nothing else."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()


_ASCII = str.maketrans({"µ": "u", "…": "...", "·": "-", "—": "-", "±": "+/-", "✔": "+", "✘": "!", "█": "#"})
