"""What can be wrong with a scenario, as an exception with its place. Only the command makes an exit code of it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lb_client.scenario.model import Place

_FEW = 12


class ScenarioError(Exception):
    """A scenario that cannot be played as it is written.

    Attributes:
        message: What is wrong and what would be right, one line.
        place: Where; None for the file as a whole.
    """

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place

    def line(self, source: str) -> str:
        """`file:line:column: message`, as compilers have it and editors jump to."""
        where = f":{self.place.line}:{self.place.column}" if self.place is not None else ""
        return f"{source}{where}: {self.message}"


class StepError(Exception):
    """A step could not be done while it was played; one line says why."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a line about an unknown word: `: did you mean 'kill'?`, else what there is."""
    words = list(known)
    near = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.5)
    if near:
        return f": did you mean {near[0]!r}?"
    if not words:
        return ""
    more = ", …" if len(words) > _FEW else ""
    return f": known here {'is' if len(words) == 1 else 'are'} {', '.join(words[:_FEW])}{more}"
