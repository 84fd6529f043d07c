"""The harness that runs the documentation: what it reads from a page, what it takes for truth and what for a lie."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.pages import Command, File, PageError, matches, run, steps_of

if TYPE_CHECKING:
    from pathlib import Path


def _page(*blocks: str) -> str:
    return "# Title\n\n" + "\n\ntext\n\n".join(blocks)


def _run(page: str, folder: Path, *, timeout_s: float = 10) -> None:
    run(steps_of(page), folder=folder, checkout=folder, env=os.environ, timeout_s=timeout_s)


def test_commands_with_their_outputs_and_files_are_read_in_order() -> None:
    page = _page(
        "<!-- test: file a/b.txt -->\n```text\nhello\n```",
        "<!-- test: run, any figures -->\n```console\n$ cat \\\n  a/b.txt\nhello\n\n$ true\n```",
        "```console\n$ never-run\n```",
        "```text\n<!-- test: shown, not meant -->\n```",
    )
    figures = frozenset({"any figures"})
    assert steps_of(page) == [
        File("a/b.txt", "hello\n"),
        Command(12, "cat \\\n  a/b.txt", ("hello",), figures),
        Command(16, "true", (), figures),
    ]


@pytest.mark.parametrize(
    "block",
    [
        "<!-- test: runn -->\n```console\n$ true\n```",
        "<!-- test: run, whatever -->\n```console\n$ true\n```",
        "<!-- test: run -->\n```sh\n$ true\n```",
        "<!-- test: run -->\n\n```console\n$ true\n```",
        "<!-- test: run -->\n```console\n$ true\n",
        "<!-- test: run -->\n```console\noutput first\n```",
        "<!-- test: file x -->",
    ],
)
def test_mark_that_would_be_ignored_is_an_error(block: str) -> None:
    with pytest.raises(PageError, match="line "):
        steps_of(_page(block))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["a b"], ["a b  "]),
        (["pid …, up"], ["pid 17, up"]),
        (["first", "…", "last"], ["first", "x", "y", "last"]),
        (["first", "…", "last"], ["first", "last"]),
        (["a.c"], ["a.c"]),
    ],
)
def test_output_matches(shown: list[str], printed: list[str]) -> None:
    assert matches(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["a"], ["b"]),
        (["a"], ["a", "b"]),
        (["a", "b"], ["a"]),
        (["3 calls"], ["4 calls"]),
        (["first", "…", "last"], ["first", "x"]),
        (["a.c"], ["abc"]),
    ],
)
def test_output_does_not_match(shown: list[str], printed: list[str]) -> None:
    assert not matches(shown, printed)


def test_any_figures_lets_numbers_times_bars_and_blanks_differ_but_no_word() -> None:
    shown = ["r1  34  ███▌ 34.0 %   0.61 ms", "even"]
    assert matches(shown, ["r1  1,133 █ 33.25 % 1.2 s", "even"], any_figures=True)
    assert not matches(shown, ["r1  133 █ 33.25 % 12 ms", "uneven"], any_figures=True)
    assert matches(shown, ["r1  133 █ 33.25 % 850 µs", "even"], any_figures=True)
    assert not matches(shown, ["r1  133 █ 33.25 % 12 calls", "even"], any_figures=True)


def test_commands_share_a_shell_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    page = _page(
        "<!-- test: file f.txt -->\n```text\nit's $HOME\n```",
        "<!-- test: run -->\n```console\n$ cat f.txt\nit's $HOME\n$ WORD=kept\n$ mkdir d && cd d\n```",
        "<!-- test: run -->\n```console\n$ echo $WORD ${PWD##*/}\nkept d\n$ (exit 7)\n$ echo $?\n7\n```",
        "<!-- test: run, in checkout -->\n```console\n$ ls\npage\n```",
    )
    run(steps_of(page), folder=tmp_path / "page", checkout=tmp_path, env=os.environ, timeout_s=10)


@pytest.mark.parametrize(
    ("commands", "complaint"),
    [
        ("$ echo truth\nlie\n", "line 5: `echo truth` printed\ntruth"),
        ("$ true\n$ false\n", "line 6: `false` ended with exit code 1"),
        ("$ echo out >&2; exit 3\n$ true\n", "line 5: the shell ended at"),
    ],
)
def test_page_that_lies_fails(commands: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(PageError) as caught:
        _run(_page(f"<!-- test: run -->\n```console\n{commands}```"), tmp_path)
    assert complaint in str(caught.value)


def test_page_that_hangs_fails_and_leaves_no_process(tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"not over after 0\.2 s"):
        _run(_page("<!-- test: run -->\n```console\n$ sleep 60\n```"), tmp_path, timeout_s=0.2)
