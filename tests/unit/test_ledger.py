"""The ledger's arithmetic: the client's book against the replicas' journals, by literals."""

from __future__ import annotations

from typing import Any

import pytest

from lb_client.history.impact import fallen_with
from lb_client.ledger import words
from lb_client.ledger.book import OTHER, CallBook
from lb_client.ledger.journals import ANSWERED, CANCELLED, ERROR, OPEN, Journals, ProcessJournal
from lb_client.ledger.labels import CallLabels
from lb_client.ledger.reconcile import Fate, Ledger, reconcile
from lb_client.records import CallRecord

RUN = "0123456789abcdef"
GONE = "Stream removed"


def book_of(*calls: tuple[str, str], start_s: float = 100.0, latency_s: float = 0.01) -> CallBook:
    """A book of calls from 1 on: (status, replica); an empty status for one that has not ended."""
    book = CallBook()
    for number, (status, replica) in enumerate(calls, 1):
        if status:
            details = "" if status == "OK" else GONE
            book.add(
                CallRecord(start_s + number / 1000, latency_s, status, details, replica, replica and "a:1", 0, number)
            )
    return book


def process(replica: str, *attempts: tuple[int, int, int], pid: int = 1, **more: Any) -> ProcessJournal:
    """A journal of (call, attempts before, outcome)."""
    journal = ProcessJournal(replica, pid, **{"alive": True, **more})
    for call, earlier, outcome in attempts:
        journal.add(call, earlier, outcome, 100.0 + call / 1000 + earlier / 10_000)
    return journal


def ledger_of(book: CallBook, sent: int, *processes: ProcessJournal, missing: str = "", **more: Any) -> Ledger:
    return reconcile(RUN, book, sent, Journals(processes, missing), **more)[0]


def test_a_run_without_incident_balances() -> None:
    book = book_of(("OK", "r1"), ("OK", "r2"), ("OK", "r1"))
    ledger = ledger_of(book, 3, process("r1", (1, 0, ANSWERED), (3, 0, ANSWERED)), process("r2", (2, 0, ANSWERED)))
    assert (ledger.sent, ledger.answered, ledger.failed, ledger.cut_off, ledger.attempts) == (3, 3, 0, 0, 3)
    assert (ledger.retried, ledger.answered_twice, ledger.executed_unanswered, ledger.never_arrived) == (0, 0, 0, 0)
    assert (ledger.lost, ledger.unaccounted, ledger.fates) == (0, 0, ())
    assert [(line.replica, line.attempts, line.answered, line.taken) for line in ledger.replicas] == [
        ("r1", 2, 2, 2),
        ("r2", 1, 1, 1),
    ]
    assert words.verdict(ledger) == "0 calls lost; every call is accounted for"


DEAD: dict[str, Any] = {"alive": False, "ended_s": 100.005}


@pytest.mark.parametrize(
    ("outcome", "more", "fate"),
    [
        (OPEN, DEAD, "in-flight"),
        (OPEN, {"alive": False}, "in-flight"),
        (OPEN, {}, "unfinished"),
        (OPEN, {"alive": False, "ended_s": 200.0}, "unfinished"),  # it failed long before its replica died
        (ANSWERED, DEAD, "answer-lost"),
        (ERROR, {}, "error-lost"),
        (CANCELLED, {}, "cancelled"),
    ],
)
def test_a_failed_call_that_reached_a_replica_is_accounted_for(outcome: int, more: dict[str, Any], fate: str) -> None:
    ledger = ledger_of(book_of(("UNAVAILABLE", "")), 1, process("r2", (1, 0, outcome), **more))
    assert ledger.fates == ((Fate(fate, "r2", "UNAVAILABLE", GONE), 1),)
    assert (ledger.failed, ledger.lost, ledger.never_arrived, ledger.unaccounted) == (1, 1, 0, 0)
    assert ledger.executed_unanswered == (outcome == ANSWERED)


def test_a_call_that_came_when_it_was_given_up_is_told_apart() -> None:
    """As a frozen replica gets them, once it goes on."""
    journal = ProcessJournal("r1", 1, alive=True)
    journal.add(1, 0, OPEN, 103.0)
    ledger = ledger_of(book_of(("DEADLINE_EXCEEDED", "")), 1, journal)
    assert [words.told(fate) for fate, _ in ledger.fates] == ["reached r1 after it was given up"]
    assert (ledger.lost, ledger.never_arrived, ledger.unaccounted) == (1, 0, 0)


def test_an_error_that_a_replica_gave_is_an_answer_and_not_a_loss() -> None:
    ledger = ledger_of(book_of(("NOT_FOUND", "r1")), 1, process("r1", (1, 0, ERROR)))
    assert ledger.fates == ((Fate("refused", "r1", "NOT_FOUND", GONE), 1),)
    assert (ledger.failed, ledger.lost, ledger.never_arrived) == (1, 0, 0)


def test_a_call_that_reached_nobody_was_on_its_way_to_who_died_meanwhile() -> None:
    book = book_of(("UNAVAILABLE", ""), ("UNAVAILABLE", ""))
    journal = process("r2", (1, 0, OPEN), **DEAD)
    ledger = ledger_of(book, 2, journal, deaths=[(100.005, "r2"), (90.0, "r1")])
    assert [(fate.kind, fate.replica, number) for fate, number in ledger.fates] == [
        ("in-flight", "r2", 1),
        ("on-its-way", "r2", 1),
    ]
    assert (ledger.never_arrived, ledger.lost, ledger.unaccounted) == (1, 2, 0)
    assert [words.told(fate) for fate, _ in ledger.fates] == [
        "in flight on r2 when it died",
        "on its way when r2 died",
    ]


def test_of_two_that_died_at_once_none_is_blamed() -> None:
    ledger = ledger_of(book_of(("UNAVAILABLE", "")), 1, process("r3"), deaths=[(100.005, "r1"), (100.006, "r2")])
    assert [fate.kind for fate, _ in ledger.fates] == ["never-arrived"]


def test_calls_and_attempts_are_counted_apart() -> None:
    """Call 1 is tried on r1, which dies, then answered by r2; call 2 is answered by both."""
    book = book_of(("OK", "r2"), ("OK", "r2"), ("OK", "r2"))
    ledger = ledger_of(
        book,
        3,
        process("r1", (1, 0, OPEN), (2, 0, ANSWERED), **DEAD),
        process("r2", (1, 1, ANSWERED), (2, 1, ANSWERED), (3, 0, ANSWERED)),
    )
    assert (ledger.sent, ledger.answered, ledger.attempts, ledger.retried, ledger.answered_twice) == (3, 3, 5, 2, 1)
    assert (ledger.lost, ledger.unaccounted, ledger.executed_unanswered) == (0, 0, 0)


def test_a_retry_is_known_from_the_answer_even_where_its_first_attempt_reached_nobody() -> None:
    book = CallBook()
    book.add(CallRecord(100.0, 0.1, "OK", "", "r1", "a:1", 1, 1))
    assert ledger_of(book, 1, process("r1", (1, 1, ANSWERED))).retried == 1


def test_what_was_retried_when_a_replica_died_fell_with_it() -> None:
    """Call 1 was at work on r1, call 2 in its socket, both were answered by r2; call 3 has nothing to do with it."""
    book = CallBook()
    for number, earlier in ((1, 1), (2, 1), (3, 0)):
        book.add(CallRecord(100.0, 0.1, "OK", "", "r2", "a:2", earlier, number))
    journals = Journals((
        process("r1", (1, 0, OPEN), **DEAD), process("r2", (1, 1, ANSWERED), (2, 1, ANSWERED), (3, 0, ANSWERED)),
    ))  # fmt: skip
    deaths = [(100.05, "r1")]
    _, trail, fates = reconcile(RUN, book, 3, journals, deaths=deaths)
    fallen = fallen_with(book, journals, trail, fates, deaths)
    assert {replica: len(calls) for replica, calls in fallen.items()} == {"r1": 2}
    assert not any(failed for _, _, failed in fallen["r1"])


def test_the_last_attempt_is_the_one_that_came_last() -> None:
    journals = process("r1", (1, 0, ERROR)), process("r2", (1, 1, OPEN), **DEAD)
    for processes in (journals, journals[::-1]):
        ledger = ledger_of(book_of(("UNAVAILABLE", "")), 1, *processes)
        assert ledger.fates[0][0].kind == "in-flight"
        assert ledger.retried == 1


def test_a_call_that_was_cut_off_is_told_apart() -> None:
    ledger = ledger_of(book_of(("OK", "r1"), ("", "")), 2, process("r1", (1, 0, ANSWERED), (2, 0, CANCELLED)))
    assert (ledger.sent, ledger.answered, ledger.failed, ledger.cut_off, ledger.lost) == (2, 1, 0, 1, 0)
    assert words.told_shortly(ledger.fates[0][0]) == "cut off: given up while r1 was at work, and r1 was told"
    assert words.balance(ledger) == "2 calls sent = 1 answered + 0 failed + 1 cut off"


def test_a_damaged_journal_tells_nothing_and_is_no_error() -> None:
    ledger = ledger_of(book_of(("UNAVAILABLE", "")), 1, process("r1", (1, 0, 77)))
    assert (ledger.fates[0][0].kind, ledger.unaccounted) == ("unknown", 1)


def test_a_call_whose_connection_was_cut_was_not_given_up_by_the_client() -> None:
    ledger = ledger_of(book_of(("UNAVAILABLE", "")), 1, process("r1", (1, 0, CANCELLED)))
    assert words.told(ledger.fates[0][0]) == "its connection ended while r1 was at work"


@pytest.mark.parametrize("gap", [{"full": True}, {}])
def test_what_is_missing_is_said_and_nothing_made_up(gap: dict[str, Any]) -> None:
    missing = "" if gap else "the cluster does not answer"
    book = book_of(("UNAVAILABLE", ""), ("OK", "r1"))
    ledger = ledger_of(book, 2, process("r1", **gap), missing=missing)
    assert ledger.fates[0][0].kind == "unknown"
    assert (ledger.never_arrived, ledger.unaccounted) == (None, 1)
    assert ledger.gap == (missing or "the journal of r1 is full")
    assert words.as_dict(ledger)["complete"] is False


def test_an_answer_that_no_journal_knows_of_is_not_accounted_for() -> None:
    book = book_of(("OK", "r1"), ("OK", "elsewhere"))
    ledger = ledger_of(book, 2, process("r1", (9, 0, ANSWERED)))
    assert ledger.unaccounted == 1  # what answers without a journal of its own is no contradiction
    assert words.verdict(ledger) == "0 calls lost; 1 not accounted for; no journal of elsewhere"


def test_a_call_that_may_have_reached_who_keeps_no_journal_is_not_said_to_have_reached_nobody() -> None:
    book = book_of(("OK", "r1"), ("OK", "r2"), ("UNAVAILABLE", ""))
    ledger = ledger_of(book, 3, process("r1", (1, 0, ANSWERED)))
    assert (ledger.fates[0][0].kind, ledger.never_arrived, ledger.unaccounted) == ("unknown", None, 1)
    assert words.as_dict(ledger)["complete"] is False


def test_servers_without_journals_leave_what_this_side_knows() -> None:
    ledger = ledger_of(book_of(("OK", ""), ("UNAVAILABLE", "")), 2, missing="no cluster")
    assert (ledger.recorded, ledger.answered, ledger.failed, ledger.lost, ledger.never_arrived) == (
        False,
        1,
        1,
        1,
        None,
    )
    assert words.as_dict(ledger)["attempts"] is None
    assert list(words.lines(ledger))[-1] == "1 call lost, as far as this side can tell"


def test_calls_after_the_last_name_are_counted_and_not_kept() -> None:
    labels, book = CallLabels((("x-user", "ada"),), run=RUN, most=2), CallBook()
    for _ in range(5):
        number, metadata = next(labels)
        named = (("lbdemo-run", RUN), ("lbdemo-call", str(number))) if number else ()
        assert metadata == (("x-user", "ada"), *named)
        book.add(CallRecord(100.0, 0.1, "OK", replica="r1", number=number))
    ledger = ledger_of(book, labels.used, process("r1", (1, 0, ANSWERED), (2, 0, ANSWERED)))
    assert (ledger.sent, ledger.answered, ledger.beyond) == (2, 2, 3)
    assert "3 calls after these carried no name, and are not in the ledger" in list(words.lines(ledger))


def test_entries_of_calls_that_nobody_sent_change_nothing() -> None:
    ledger = ledger_of(book_of(("OK", "r1")), 1, process("r1", (1, 0, ANSWERED), (7, 0, ANSWERED)))
    assert (ledger.sent, ledger.answered, ledger.answered_twice, ledger.attempts) == (1, 1, 0, 2)


def test_a_book_of_many_different_failures_stays_small() -> None:
    book = CallBook()
    for number in range(1, 1001):
        book.add(CallRecord(1.0, 0.5, "UNKNOWN", f"failure {number}", number=number))
    assert book.status(1) == ("UNKNOWN", "failure 1")
    assert book.status(1000) == ("UNKNOWN", OTHER)
    assert book.status(5000) == ("", "")
    assert len({book.status(number) for number in range(1, 1001)}) < 256
    assert list(book.ended()) == list(range(1, 1001))


def test_two_runs_have_two_names() -> None:
    assert CallLabels().run != CallLabels().run


def test_a_hundred_thousand_calls_are_reconciled_in_bounded_memory() -> None:
    import tracemalloc  # noqa: PLC0415 -- for this test alone

    number = 100_000
    tracemalloc.start()
    book, journal = CallBook(), ProcessJournal("r1", 1, alive=True)
    record = CallRecord(100.0, 0.1, "OK", "", "r1", "a:1", 0, 1)
    for call in range(1, number + 1):
        book.add(record._replace(number=call))
        journal.add(call, 0, ANSWERED, 100.0)
    ledger = ledger_of(book, number, journal)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (ledger.answered, ledger.unaccounted) == (number, 0)
    assert peak < 80 * number
