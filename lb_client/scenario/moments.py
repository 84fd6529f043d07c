"""Moments as they are written: `2s`, `kill r2`, `restart rolling done`, `2s after pause r3`, `1s before end`. Pure."""

from __future__ import annotations

import re

from lb_client.scenario import quantity
from lb_client.scenario.errors import ScenarioError
from lb_client.scenario.model import Moment, Place

_AFTER = re.compile(r"(\S+)\s+(after|before)\s+(.+)")
_DONE = " done"


def parse(text: str, place: Place) -> Moment:
    """The moment; whether its step exists is for checks.py.

    Raises:
        ScenarioError: It is none.
    """
    value = quantity.seconds(text)
    if value is not None:
        return Moment(offset_s=value, place=place)
    offset_s = 0.0
    anchor = text
    if form := _AFTER.fullmatch(text):
        away_s = quantity.seconds(form[1])
        if away_s is None:
            raise ScenarioError(f"{form[1]!r} is no length of time: write '2s {form[2]} {form[3]}'", place)
        offset_s = away_s if form[2] == "after" else -away_s
        anchor = form[3]
    elif text.startswith(("after ", "before ")):
        raise ScenarioError(f"how long {text!r}? write '2s {text}', or {text.split(' ', 1)[1]!r} alone", place)
    if anchor == "start" and offset_s < 0:
        raise ScenarioError(f"{text!r} is before the first call", place)
    if anchor == "end" and offset_s > 0:
        raise ScenarioError(f"{text!r} is after the last call", place)
    return Moment(anchor.removesuffix(_DONE), anchor.endswith(_DONE), offset_s, place)
