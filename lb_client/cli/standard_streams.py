"""The command's standard streams where something is wrong with them: missing, full, or with nobody who reads."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

import click

from backends import file_limit

# What writing to a stream can end with. Other errors of these numbers name a file, and are told as such.
_OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def open_missing() -> None:
    """Have /dev/null stand for a standard stream that this process was started without (`lbdemo status >&-`).

    Its number would be given to the next socket that somebody opens, and what is printed would go there.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    from backends.process import open_standard_descriptors  # noqa: PLC0415 -- hardly anybody needs it

    open_standard_descriptors()
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115 -- as long as the process


def complain(line: str) -> None:
    """A line on stderr; nobody hears of it where that cannot be written either."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def give_up(error: OSError) -> int:
    """Tell in one line why the command ends by an error of the system; its exit code."""
    if error.errno in _OUTPUT_ERRORS and error.filename is None:
        # What could not be written is still in its buffer, and Python would try again at its end.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        # The reader of a pipe went away (`lbdemo call --json | head`): nothing to say to anybody.
        if error.errno != errno.EPIPE:
            complain(f"lbdemo: the output cannot be written: {error.strerror}")
    elif file_limit.is_shortage(error):
        complain(f"lbdemo: {file_limit.out_of_files()}")
    else:
        where = f" ({error.filename})" if error.filename is not None else ""
        complain(f"lbdemo: {error.strerror or error}{where}")
    return 1
