"""Status codes by their names, as steps and expectations write them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from lb_client.scenario import words
from lb_client.scenario.errors import ScenarioError

if TYPE_CHECKING:
    from lb_client.scenario.model import Place


def code_of(text: str, place: Place, *, ok: bool = False) -> str:
    """The name of a status code, in capitals; that of OK only with `ok`.

    Raises:
        ScenarioError: There is none of that name.
    """
    name = text.upper().replace("-", "_").replace(" ", "_")
    known = ("OK", *words.CODES) if ok else words.CODES
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ", such as UNAVAILABLE or DEADLINE_EXCEEDED"
    raise ScenarioError(f"{text!r} is no status code{hint}", place)
