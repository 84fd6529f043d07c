"""Finds and runs the user's function that registers servicers: `package.module:function`. replica.py serves them."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.dispatch import Registrar

_FORM = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")
_LONGEST = 200


async def register(spec: str, server: Registrar) -> None:
    """Have the function named by `spec` register its servicers on `server`. It may be a coroutine function.

    Raises:
        CannotStart: The name leads nowhere, or the function fails or registers nothing.
    """
    function = _find(spec)
    try:
        result = function(server)
        if inspect.isawaitable(result):
            await result
    except (Exception, SystemExit) as error:
        raise CannotStart(f"service {spec!r} failed: {_told(error)}") from error
    if server.empty:
        raise CannotStart(
            f"service {spec!r} registered nothing: it should call add_…Servicer_to_server(servicer, server) on the "
            "server it is given"
        )


def _find(spec: str) -> Callable[[Any], Any]:
    form = _FORM.fullmatch(spec)
    if not form:
        raise CannotStart(f"service {spec!r} is not of the form package.module:function")
    name, attribute = form["module"], form["function"]
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only when it is the module itself, or a package above it: else something that it imports is missing.
        if error.name and (name + ".").startswith(error.name + "."):
            raise CannotStart(
                f"service {spec!r}: no module {error.name!r} in {here} or among the installed packages"
            ) from None
        raise CannotStart(f"service {spec!r}: importing {name} failed: {_told(error)}") from error
    except (Exception, SystemExit) as error:
        raise CannotStart(f"service {spec!r}: importing {name} failed: {_told(error)}") from error
    function = getattr(module, attribute, None)
    if function is None:
        raise CannotStart(f"service {spec!r}: module {name} has no {attribute!r}")
    if not callable(function):
        raise CannotStart(f"service {spec!r}: {attribute!r} is no function but {type(function).__name__}")
    try:
        inspect.signature(function).bind(object())
    except (TypeError, ValueError) as error:
        raise CannotStart(
            f"service {spec!r}: {attribute}{_signature(function)} cannot take one argument, the server: {error}"
        ) from None
    return function  # type: ignore[no-any-return]  # callable is all that can be known of it


def _signature(function: Callable[..., Any]) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(…)"


def _told(error: BaseException) -> str:
    """The last line of its traceback, and where: the innermost place in the user's own files, if it came by one."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({_short(error.filename or '?')}:{error.lineno})"
    text = " ".join(str(error).split())[:_LONGEST]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{_short(frame.filename)}:{frame.lineno}" for frame in frames if frame.filename != __file__]
    own = [place for place in places if not place.startswith(("/", "<")) and "site-packages" not in place]
    return f"{what} ({(own or places)[-1]})" if places else what


def _short(filename: str) -> str:
    """Relative to the current directory if it is in it."""
    here = f"{Path.cwd()}{os.sep}"
    return filename.removeprefix(here)
