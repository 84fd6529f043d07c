"""The bookkeeping of a stream that moves: what was answered, what is sent again, which ends are moves."""

from __future__ import annotations

import pytest

from lb_client.acknowledgements import Acknowledgements, reason_to_move


def test_what_is_unanswered_is_sent_again_in_order() -> None:
    book: Acknowledgements[str] = Acknowledgements()
    for number, request in enumerate("abcde", start=1):
        book.sent(number, request)
    assert book.answered(2)
    assert book.answered(4)
    assert book.unanswered == ("a", "c", "e")
    assert len(book) == 3
    assert repr(book) == "<Acknowledgements last=5 unanswered=3>"


def test_only_the_first_answer_to_a_number_counts() -> None:
    book: Acknowledgements[str] = Acknowledgements()
    book.sent(1, "a")
    assert [book.answered(1), book.answered(1), book.answered(7)] == [True, False, False]


@pytest.mark.parametrize("number", [3, 2, -1])
def test_numbers_must_rise_also_past_what_was_answered(number: int) -> None:
    book: Acknowledgements[str] = Acknowledgements()
    book.sent(3, "a")
    book.answered(3)
    with pytest.raises(ValueError, match=f"{number} came after 3"):
        book.sent(number, "b")


def test_what_is_kept_is_bounded_and_an_answer_makes_room() -> None:
    book: Acknowledgements[str] = Acknowledgements(most=2)
    book.sent(1, "a")
    book.sent(2, "b")
    with pytest.raises(BufferError, match="2 requests wait for an answer: read some"):
        book.sent(3, "c")
    book.answered(1)
    book.sent(3, "c")
    assert book.unanswered == ("b", "c")


@pytest.mark.parametrize(
    ("status", "trailing", "reason"),
    [
        ("UNAVAILABLE", {"lbdemo-move": "drain"}, "drain"),
        ("UNAVAILABLE", {"lbdemo-move": "rebalance"}, "rebalance"),
        ("UNAVAILABLE", {}, "lost"),
        ("UNAVAILABLE", {"lbdemo-move": ""}, "lost"),
        ("ABORTED", {"lbdemo-move": "drain"}, "drain"),
        ("CANCELLED", {}, ""),
        ("DEADLINE_EXCEEDED", {"lbdemo-replica": "r1"}, ""),
        ("RESOURCE_EXHAUSTED", {}, ""),
    ],
)
def test_replicas_word_and_unavailable_are_reasons_to_move_and_nothing_else_is(
    status: str, trailing: dict[str, object], reason: str
) -> None:
    assert reason_to_move(status, trailing) == reason
