"""The kinds of values that say where replicas stand, what they weigh and which version they are. Pure."""

from __future__ import annotations

import math

import click

from backends.layout import MAX_WEIGHT, NAME_RULE, is_name

MAX_ZONES = 26


class Name(click.ParamType[str]):
    """The name of a zone or of a version."""

    name = "NAME"

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name; a click error says what is allowed."""
        if not is_name(str(value)):
            self.fail(f"{value!r} is no {self._what}: use {NAME_RULE}.", param, ctx)
        return str(value)


class Zones(click.ParamType[tuple[str, ...]]):
    """Zones, with commas between them."""

    name = "A,B,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The zones; a click error says what is allowed."""
        if isinstance(value, tuple):
            return value
        zones = tuple(part.strip() for part in str(value).split(","))
        for zone in zones:
            if not is_name(zone):
                self.fail(f"{zone!r} is no zone: write names with commas between, as a,b ({NAME_RULE}).", param, ctx)
            if zones.count(zone) > 1:
                self.fail(f"zone {zone!r} stands there twice; replicas take zones in turn anyway.", param, ctx)
        if len(zones) > MAX_ZONES:
            self.fail(f"{len(zones)} zones are too many: at most {MAX_ZONES}.", param, ctx)
        return zones


class Weights(click.ParamType[tuple[int, ...]]):
    """Weights of r1, r2, …, with commas between them."""

    name = "N,N,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The weights; a click error says what is possible."""
        if isinstance(value, tuple):
            return value
        weights = []
        for part in str(value).split(","):
            text = part.strip()
            if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_WEIGHT):
                self.fail(
                    f"{text!r} is no weight: write whole numbers from 1 to {MAX_WEIGHT} with commas between, as 5,3,2.",
                    param,
                    ctx,
                )
            weights.append(int(text))
        return tuple(weights)


class Percent(click.ParamType[float]):
    """A share of the calls: 10, 10%, 0.5; two decimals at most."""

    name = "PERCENT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The percentage; a click error says what is possible."""
        try:
            percent = float(str(value).strip().removesuffix("%"))
        except ValueError:
            percent = math.nan
        if not 0 <= percent <= 100:
            self.fail(f"{value!r} is no share: write 0 to 100, in percent of the calls.", param, ctx)
        if round(percent, 2) != percent:
            self.fail(f"{value!r} is too fine: shares have two decimals at most.", param, ctx)
        return percent
