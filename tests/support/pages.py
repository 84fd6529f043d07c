"""Pages of documentation as tests: reads the marked blocks of a Markdown page, runs their commands, compares outputs.

A comment on the line before a fenced block says what the block is:

    <!-- test: run -->                  a `console` block: lines that start with `$ ` are run by bash, in order
    <!-- test: run, any figures -->     the same; a number, a time, a bar and a run of blanks match any other
    <!-- test: run, in checkout -->     the same, in the checkout's folder instead of the page's own
    <!-- test: file NAME -->            the block is written to NAME in the page's folder

All commands of a page share one shell and one folder. A command must succeed unless the next one is `echo $?`. Lines
after a command are its output: `…` stands for any text, alone on a line for any lines; no lines, no comparison. A
command goes on in the next line after a backslash.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_MARK = re.compile(r"\s*<!-- test: (?:(?P<run>run(?:, [a-z ]+)*)|file (?P<file>[\w./-]+)) -->\s*")
_OPTIONS = {"any figures", "in checkout"}
_BAR = re.compile("[▁▂▃▄▅▆▇▏▎▍▌▋▊▉█░▒▓]+(?: +[▁▂▃▄▅▆▇▏▎▍▌▋▊▉█░▒▓]+)*")


class PageError(Exception):
    """The page is not well-formed, or it does not tell the truth; the message names page and line."""


@dataclass(frozen=True, slots=True)
class File:
    """Text to be written to a file of the page's folder."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a `console` block.

    Attributes:
        line: Number of its line in the page.
        text: What bash gets.
        output: The lines shown below it; empty when the page shows none.
        options: Of the block it stands in.
    """

    line: int
    text: str
    output: tuple[str, ...]
    options: frozenset[str]


def steps_of(page: str) -> list[File | Command]:
    """What the marked blocks of a page ask for, in order.

    Raises:
        PageError: A `<!-- test:` comment that is none of the above, or with no fenced block after it.
    """
    lines = page.splitlines()
    steps: list[File | Command] = []
    number = 0
    while number < len(lines):
        end = _end_of_block(lines, number)
        if end is None and "<!-- test:" in lines[number]:
            found, number = _marked(lines, number)
            steps += found
        else:
            number = number + 1 if end is None else end + 1
    return steps


def _marked(lines: Sequence[str], at: int) -> tuple[Sequence[File | Command], int]:
    """What the mark in line `at` and the block below it ask for, and the number of the line after the block."""
    mark = _MARK.fullmatch(lines[at])
    options = frozenset(mark["run"].split(", ")[1:]) if mark and mark["run"] else frozenset()
    if not mark or not options <= _OPTIONS:
        raise PageError(f"line {at + 1}: not understood: {lines[at].strip()}")
    end = _end_of_block(lines, at + 1)
    if end is None or (mark["run"] and not lines[at + 1].strip("`~ ").startswith("console")):
        raise PageError(f"line {at + 2}: {'a console' if mark['run'] else 'a fenced'} block is expected here")
    body = lines[at + 2 : end]
    if mark["file"]:
        return [File(mark["file"], "\n".join(body) + "\n")], end + 1
    return list(_commands(body, at + 3, options)), end + 1


def _end_of_block(lines: Sequence[str], at: int) -> int | None:
    """The number of the line that closes the block which line `at` opens; None if it opens none."""
    fence = re.match(r"\s*(`{3,}|~{3,})", lines[at]) if at < len(lines) else None
    if not fence:
        return None
    for number in range(at + 1, len(lines)):
        if lines[number].strip() == fence[1]:
            return number
    raise PageError(f"line {at + 1}: the block has no end")


def _commands(body: Sequence[str], first: int, options: frozenset[str]) -> Iterator[Command]:
    starts = [n for n, line in enumerate(body) if line.startswith("$ ")]
    if not starts or starts[0] != 0:
        raise PageError(f"line {first}: a console block starts with a command: `$ …`")
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        rest = start
        while body[rest].endswith("\\") and rest + 1 < end:
            rest += 1
        text = "\n".join(body[start : rest + 1])[2:]
        yield Command(first + start, text, tuple(_trimmed(body[rest + 1 : end])), options)


def matches(shown: Sequence[str], printed: Sequence[str], *, any_figures: bool = False) -> bool:
    """Whether the lines that a page shows are those that were printed, `…` standing for anything."""
    loose = _loose if any_figures else str
    pattern = ""
    for line in shown:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(loose(part)) for part in line.rstrip().split("…")) + r"\n"
    text = "".join(loose(line.rstrip()) + "\n" for line in printed)
    return re.fullmatch(pattern, text) is not None


def _loose(line: str) -> str:
    line = re.sub(r"\d+(?:[.,]\d+)*", "0", line)
    line = re.sub(r"0 (?:µs|ms|s)\b", "0 s", line)
    return re.sub(r"\s+", " ", _BAR.sub("█", re.sub("─+", "─", line)))


def run(
    steps: Sequence[File | Command], *, folder: Path, checkout: Path, env: Mapping[str, str], timeout_s: float
) -> None:
    """Carry out the steps in `folder`.

    Raises:
        PageError: A command failed, or printed something else than the page shows.
    """
    marker = secrets.token_hex(8)
    script = []
    for index, step in enumerate(steps):
        if isinstance(step, File):
            script.append(f"mkdir -p -- {shlex.quote(str((folder / step.name).parent))}")
            script.append(f"printf %s {shlex.quote(step.text)} >{shlex.quote(str(folder / step.name))}")
        else:
            cd = f"cd {shlex.quote(str(checkout))}; " if "in checkout" in step.options else ""
            back = f"cd {shlex.quote(str(folder))}; " if cd else ""
            script.append(f"{cd}(exit ${{status-0}}); eval {shlex.quote(step.text)} </dev/null; status=$?; {back}")
            script.append(f"printf '\\n%s %d %d\\n' {marker} {index} $status")
    with subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            printed, _ = shell.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as late:
            os.killpg(shell.pid, signal.SIGKILL)
            got = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout
            raise PageError(f"not over after {timeout_s} s; printed until then:\n{got or ''}") from None
    _compare(steps, printed, marker)


def _compare(steps: Sequence[File | Command], printed: str, marker: str) -> None:
    pieces = re.split(rf"\n{marker} (\d+) (\d+)\n", printed)
    results = {int(pieces[n + 1]): (pieces[n], int(pieces[n + 2])) for n in range(0, len(pieces) - 1, 3)}
    for index, step in enumerate(steps):
        if isinstance(step, File):
            continue
        if index not in results:
            raise PageError(f"line {step.line}: the shell ended at `{step.text}`:\n{pieces[-1]}")
        output, status = results[index]
        following = steps[index + 1] if index + 1 < len(steps) else None
        if status != 0 and not (isinstance(following, Command) and following.text == "echo $?"):
            raise PageError(f"line {step.line}: `{step.text}` ended with exit code {status}:\n{output}")
        lines = _trimmed(output.splitlines())
        if step.output and not matches(step.output, lines, any_figures="any figures" in step.options):
            shown = "\n".join(step.output)
            raise PageError(f"line {step.line}: `{step.text}` printed\n{output}\nwhere the page shows\n{shown}")


def _trimmed(lines: Sequence[str]) -> list[str]:
    """Without blank lines at both ends."""
    full = [n for n, line in enumerate(lines) if line.strip()]
    return list(lines[full[0] : full[-1] + 1]) if full else []
