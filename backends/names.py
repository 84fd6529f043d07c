"""Names of replicas as people write them: which of them are none, and what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 12


def unknown_line(names: Sequence[str], known: Sequence[str], *, cluster: str = "") -> str:
    """One line about names that no replica has: the nearest ones, and those there are."""
    what = " or ".join(repr(name) for name in names)
    where = f" in cluster {cluster!r}" if cluster else ""
    near = [found for name in names if (found := nearest(name, known))]
    there = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    there = f"there {'is' if len(known) == 1 else 'are'} {there or 'none'}"
    if not near:
        return f"no replica {what}{where}: {there}"
    return f"no replica {what}{where}: did you mean {' '.join(dict.fromkeys(near))}? {there.capitalize()}"


def nearest(name: str, known: Sequence[str]) -> str:
    """The name, or names with a blank between, that was most likely meant; "" for none."""
    words = name.lower().replace(",", " ").split()
    if len(words) > 1:
        return " ".join(words) if all(word in known for word in words) else ""
    word = "".join(words)
    for candidate in (word, f"r{word}", f"r{word.lstrip('replica-_ ').lstrip('0')}"):
        if candidate in known:
            return candidate
    import difflib  # noqa: PLC0415 -- only for who mistyped

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return close[0] if close else ""
