"""Which rooms, names and lines there are; and that a room becomes the same metadata in every language."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.chat_rules import (
    MAX_LINE_BYTES,
    MAX_NAME,
    BadWordError,
    check_id,
    check_line,
    check_name,
    clean,
    room_header,
    room_of_header,
    same_name,
)


@pytest.mark.parametrize(
    ("room", "header"),
    [
        ("kitchen", "kitchen"),
        ("the kitchen", "the%20kitchen"),
        ("küche", "k%C3%BCche"),
        ("ku\u0308che", "k%C3%BCche"),  # form C, so that both spellings meet
        ("台所", "%E5%8F%B0%E6%89%80"),
        ("a/b?c&d=e+f", "a%2Fb%3Fc%26d%3De%2Bf"),
        ("-_.!~*'()", "-_.!~*'()"),  # what encodeURIComponent leaves as it is
        ("100%", "100%25"),
        ("🍳", "%F0%9F%8D%B3"),
    ],
)
def test_a_room_as_metadata(room: str, header: str) -> None:
    assert room_header(room) == header
    assert room_of_header(header) == unicodedata.normalize("NFC", room)


@given(st.text(max_size=80))
def test_any_text_is_refused_or_comes_back_from_its_header(text: str) -> None:
    complaint, header = "", "x"
    try:
        header = room_header(text)
    except BadWordError as error:
        complaint = str(error)
    assert complaint.isprintable()
    assert len(complaint) < 200
    assert header.isascii()
    assert header.isprintable()
    assert complaint or room_of_header(header) == check_name(text, "room")


@given(st.text(max_size=80))
def test_cleaning_leaves_nothing_that_steers_and_is_done_once(text: str) -> None:
    cleaned = clean(text)
    assert not {c for c in cleaned if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    assert not set(cleaned) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\ufeff")
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize("name", ["ann", "Ann Müller", "Ольга", "李", "O'Brien", "x" * MAX_NAME, "🦊", "a (2)"])
def test_names_that_are_fine(name: str) -> None:
    assert check_name(f" {name} ") == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "x" * (MAX_NAME + 1), "x" * 10_000_000, "a\0b", "a\x1b[2J", "a\u009b2J", "\u202eann", "a\u200bnn",
     "a\ufeffb", "\u2800", "\u3164", "a\u00a0b", "a\u2028b", "\ue000", "\u0301ann", "a" + "\u0301" * 6, "\U000e0041nn",
     "\udcff"],
)  # fmt: skip
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(BadWordError) as raised:
        check_name(name)
    assert str(raised.value).isprintable()


def test_names_are_the_same_however_they_are_written() -> None:
    assert same_name("Ann") == same_name("ANN") == same_name("\uff21nn")
    assert same_name("ann") != same_name("anna")


@pytest.mark.parametrize("header", ["", "%", "%zz", "%ff", "%6bitchen", "a b", "k%c3%bcche", "ku%CC%88che", "x" * 5000])
def test_headers_that_no_room_has(header: str) -> None:
    with pytest.raises(BadWordError):
        room_of_header(header)


def test_lines() -> None:
    assert check_line("hello\tthere \n") == "hello there"
    assert check_line("x" * MAX_LINE_BYTES) == "x" * MAX_LINE_BYTES
    assert check_line("\x1b[31mred\x07") == "\ufffd[31mred\ufffd"
    assert check_line("👩‍👩‍👧") == "👩‍👩‍👧"
    for line in ("", "  ", "x" * (MAX_LINE_BYTES + 1), "ü" * (MAX_LINE_BYTES // 2 + 1)):
        with pytest.raises(BadWordError):
            check_line(line)


@pytest.mark.parametrize("id", ["", "A", "a b", "x" * 65, "\n"])
def test_ids_that_cannot_be(id: str) -> None:
    with pytest.raises(BadWordError):
        check_id(id)
