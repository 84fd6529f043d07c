"""The values of `lbdemo fault`: lengths of time with their unit, a share of the calls, the name of a status code."""

from __future__ import annotations

import difflib
import re

import click

from backends.fault import CODES

_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m)?")
_UNIT_MS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0}
_RATE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%)?")


class Milliseconds(click.ParamType[float]):
    """A length of time with its unit, as milliseconds; more than nothing, at most an hour."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The milliseconds; a click error says how to write them."""
        text = str(value).strip()
        form = _TIME.fullmatch(text)
        if form and form[2] is None and float(form[1]):
            self.fail(f"{text!r} has no unit: write {text}ms or {text}s.", param, ctx)
        milliseconds = float(form[1]) * _UNIT_MS[form[2]] if form and form[2] else 0.0
        if not 0 < milliseconds <= 3_600_000:
            self.fail(f"{text!r} is no length of time: write 50ms or 1.5s, at most 60m.", param, ctx)
        return milliseconds


class Rate(click.ParamType[float]):
    """A share of the calls: 0.3 or 30%, above 0 and up to 1."""

    name = "SHARE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share; a click error says how to write it."""
        text = str(value).strip()
        form = _RATE.fullmatch(text)
        if not form:
            self.fail(f"{text!r} is no share of the calls: write 0.3 or 30%.", param, ctx)
        share = float(form[1]) / (100 if form[2] else 1)
        if not share:
            self.fail("0 of the calls is no fault: --clear ends one.", param, ctx)
        if share > 1:
            meant = f", or {form[1]}%" if form[2] is None and float(form[1]) <= 100 else ""
            self.fail(f"{text!r} is more than all calls: write at most 1 or 100%{meant}.", param, ctx)
        return share


class Code(click.ParamType[str]):
    """The name of a status code that is an error."""

    name = "CODE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as gRPC writes it; a click error names the nearest one."""
        word = str(value).strip().upper().replace("-", "_")
        if word.isdigit() and 1 <= int(word) <= len(CODES):
            word = CODES[int(word) - 1]
        if word not in CODES:
            self.fail(_no_code(word, str(value)), param, ctx)
        return word


def _no_code(word: str, written: str) -> str:
    if word in ("OK", "0"):
        return "OK is no error."
    near = difflib.get_close_matches(word, CODES, n=1)
    meant = f"did you mean {near[0]}?" if near else f"one of {', '.join(CODES)}."
    return f"{written!r} is no status code: {meant}"
