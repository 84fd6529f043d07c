"""A run of streams in words and figures: streams and messages apart, both views, timelines. All from values."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from lb_client.membership import Member
from lb_client.paper import Paper
from lb_client.script import Home, Kind, Mode, Moment, Script
from lb_client.stream_page import page_of
from lb_client.stream_report import ServerView, StreamReport
from lb_client.streams import Move
from lb_client.timeline import Timeline
from lb_client.warmup import WarmUp

R1, R2, R3, R4 = (Member(f"127.0.0.1:{n}", f"r{n}") for n in (1, 2, 3, 4))


class FakeTalk:
    """A conversation that was."""

    def __init__(self, name: str, *homes: Home, status: str = "OK", details: str = "", moves: tuple[Move, ...] = ()):
        self.name, self.homes, self.status, self.details, self.moves = name, list(homes), status, details, list(moves)
        self.failed = status != "OK"
        self.elapsed_s = 1.0

    @property
    def sent(self) -> int:
        return sum(home.sent for home in self.homes)

    @property
    def received(self) -> int:
        return sum(home.received for home in self.homes)


def home(member: Member, lines: int = 5) -> Home:
    return Home(member.id, member.address, lines, lines)


def report(talks: list[FakeTalk], **more: Any) -> StreamReport:
    given: dict[str, Any] = {
        "target": "dir:///x",
        "policy": "round_robin",
        "script": Script(),
        "requested": {"mode": "ping-pong"},
        "ready": (R1, R2, R3),
        "ready_now": (R1, R2, R3),
        "warm_up": WarmUp(0.01, complete=True, connected=("a", "b", "c")),
        "elapsed_s": 2.0,
    }
    return StreamReport(talks=talks, **(given | more))  # type: ignore[arg-type]  # fakes


def move(member: Member, reason: str = "drain") -> Move:
    return Move(reason, member.id, member.address, grpc.StatusCode.UNAVAILABLE, "", 1)


def test_streams_and_messages_are_counted_apart() -> None:
    found = report([FakeTalk("a", home(R1, 10)), FakeTalk("b", home(R2, 20)), FakeTalk("c", home(R3, 30))])
    assert [(row.id, row.streams, row.messages) for row in found.rows] == [("r1", 1, 20), ("r2", 1, 40), ("r3", 1, 60)]
    assert found.even is True
    assert (found.sent, found.received, found.rate_per_s) == (60, 60, 60.0)
    _, first, rest = found.verdict()
    assert first == "Calls are balanced: 3 streams over 3 endpoints, 1/1/1."
    assert rest == ["Messages are not balanced: 20/40/60. A stream stays on its replica, and so do its messages."]


def test_equal_streams_do_not_make_balanced_messages() -> None:
    found = report([FakeTalk(str(n), home((R1, R2, R3)[n % 3])) for n in range(6)])
    assert found.verdict()[2][0].startswith("Messages are not, they only follow: 20/20/20, because every stream had as")


def test_uneven_streams_are_told_with_what_would_be_even() -> None:
    found = report([FakeTalk(str(n), home(R1)) for n in range(3)])
    assert found.verdict()[:2] == (False, "Calls are not even: 3 streams over 3 endpoints, 3/0/0; 1 on each would be.")


def test_pick_first_is_not_judged() -> None:
    assert report([FakeTalk("a", home(R1)), FakeTalk("b", home(R1))], policy="pick_first").even is None


def test_replica_that_came_later_is_named_with_what_to_do() -> None:
    talks = [FakeTalk(str(n), home((R1, R2, R3)[n])) for n in range(3)]
    found = report(talks, ready_now=(R1, R2, R3, R4))
    assert found.verdict()[2][1] == "r4 came when the streams were open: 'lbdemo rebalance' spreads them again."


def test_replica_that_left_is_not_judged_but_keeps_its_messages() -> None:
    talks = [
        FakeTalk("a", home(R1)),
        FakeTalk("b", home(R2)),
        FakeTalk("c", home(R3, 3), home(R1, 2), moves=(move(R3),)),
        FakeTalk("d", home(R2)),
    ]
    found = report(talks, ready_now=(R1, R2))
    assert [(row.id, row.streams, row.opened, row.sent) for row in found.rows] == [
        ("r1", 2, 2, 7),
        ("r2", 2, 2, 10),
        ("r3", 0, 1, 3),
    ]
    assert found.even is True
    assert found.moves == {"drain": 1}


def test_proxy_is_no_replica_that_got_none() -> None:
    """The channel knows one address, and the answers come from others."""
    proxy = Member("127.0.0.1:50051")
    found = report(
        [FakeTalk(str(n), home((R1, R2)[n % 2])) for n in range(4)], ready=(proxy,), ready_now=(proxy,), target="x:1"
    )
    assert [row.id for row in found.rows] == ["r1", "r2"]
    even, first, rest = found.verdict()
    assert (even, first) == (None, "4 streams over 2 endpoints behind 127.0.0.1:50051, 2/2.")
    assert rest[1].startswith("127.0.0.1:50051 is one address: a proxy or an L4 balancer chooses there")
    even, first, rest = report([FakeTalk("a", home(R1))], ready=(proxy,), ready_now=(proxy,)).verdict()
    assert first == "One call, 10 messages, all with r1."
    assert not any("got none" in line for line in rest)


def test_address_of_a_replica_is_that_replica_and_no_proxy() -> None:
    """A channel to addresses has no names; the answers have."""
    known = (Member(R1.address), Member(R2.address))
    found = report([FakeTalk("a", home(R1)), FakeTalk("b", home(R1))], ready=known, ready_now=known)
    assert found.front == ""
    assert [(row.id, row.address, row.streams) for row in found.rows] == [("r1", R1.address, 2), ("", R2.address, 0)]
    one = report([FakeTalk("a", home(R1))], ready=known[:1], ready_now=known[:1]).verdict()
    assert one[2] == ["Calls are balanced, messages are not: a stream stays on its replica."]


def test_spread_after_moves_is_no_fault_of_the_policy() -> None:
    talks = [FakeTalk(str(n), home(R3), home(R1), moves=(move(R3),)) for n in range(3)]
    assert report(talks, ready_now=(R1, R2)).even is None


def test_one_stream_names_who_had_it_and_who_got_none() -> None:
    _, first, rest = report([FakeTalk("a", home(R2))]).verdict()
    assert first == "One call, 10 messages, all with r2."
    assert rest == ["Calls are balanced, messages are not: a stream stays on its replica, and r1 and r3 got none."]
    _, moved, _ = report([FakeTalk("a", home(R2, 2), home(R1, 1), moves=(move(R2),))]).verdict()
    assert moved == "One stream, 6 messages, moved once: r2, then r1."


def test_sides_that_tell_different_ends_are_named() -> None:
    views = {"a": (ServerView("r1", "completed"),), "b": (ServerView("r1", "cancelled"),)}
    found = report([FakeTalk("a", home(R1)), FakeTalk("b", home(R1))], views=views)
    assert (found.disagreements, found.endings) == (["b"], {"cancelled": 1, "completed": 1})
    assert "client and replica tell different ends of 1 stream" in page_of(found, Paper())


def test_keys_of_the_json_report() -> None:
    moments = (Moment(0.001, Kind.WROTE, home(R1), 1, "ping"), Moment(0.002, Kind.ENDED, home(R1), 0, "OK"))
    talk = FakeTalk("a", home(R2, 2), home(R1, 1), moves=(move(R2),))
    found = report([talk], moments=moments, views={"a": (ServerView("r2", "moved", 2, 2, 0.5),)}).as_dict()
    assert found.keys() >= {"target", "via", "policy", "requested", "streams", "messages", "backends", "spread"}
    assert found["backends"][0].keys() >= {"id", "address", "streams", "messages_sent", "messages_received", "failed"}
    assert found["conversations"] == [
        {
            "conversation": "a",
            "status": "OK",
            "details": "",
            "sent": 3,
            "received": 3,
            "elapsed_s": 1.0,
            "replicas": ["r2", "r1"],
            "moves": [{"reason": "drain", "from": "r2", "status": "UNAVAILABLE", "sent_again": 1}],
            "servers": [{"replica": "r2", "ending": "moved", "received": 2, "sent": 2, "open_s": 0.5}],
        }
    ]
    assert [(m["who"], m["what"], m["number"]) for m in found["timeline"]] == [
        ("client", "wrote", 1),
        ("server", "ended", None),
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_pages_fit_their_width(width: int) -> None:
    many = report(
        [FakeTalk(str(n), home((R1, R2, R3)[n % 3]), status="UNAVAILABLE", details="x" * 90) for n in range(9)]
    )
    page = page_of(many, Paper(width=width))
    assert max(len(line) for line in page.splitlines()) <= max(width, 84)
    assert "9 streams: UNAVAILABLE instead of OK:" in page


def rows(*moments: Moment, paper: Paper | None = None) -> list[str]:
    timeline = Timeline(paper or Paper(width=80))
    return [line for moment in moments for line in timeline.lines(moment)]


def test_timeline_stands_the_client_left_and_the_server_right() -> None:
    at = home(R2)
    found = rows(
        Moment(0.0, Kind.OPENED, Home()),
        Moment(0.0011, Kind.WROTE, at, 1, "ping"),
        Moment(0.0014, Kind.METADATA, at),
        Moment(1.2345, Kind.READ, at, 1, "ping"),
        Moment(1.3, Kind.CLOSED, at),
        Moment(1.4, Kind.ENDED, at, 0, "OK"),
    )
    assert [" ".join(line.split()) for line in found] == [
        "0.0 opens the stream",
        "1.1 1 ping ─▶ r2",
        "1.4 ◀─ initial metadata r2",
        "1,234.5 ◀─ 1 ping r2",
        "1,300.0 closes its side ─▶ r2",
        "1,400.0 ◀─ OK r2",
    ]
    middle = found[2].index("◀─")
    assert all(line.index("◀─") == middle for line in found if "◀─" in line)
    assert all(line.index(word) < middle for line, word in ((found[0], "opens"), (found[1], "1 ping")))
    assert all(len(line) <= 80 for line in found)


def test_a_move_takes_two_lines_and_says_why() -> None:
    asked = rows(Moment(0.5, Kind.MOVED, home(R1), 2, "drain"))
    assert [" ".join(line.split()) for line in asked] == [
        "500.0 ◀─ asks it to move: drain r1",
        "500.0 moves, 2 lines again",
    ]
    assert "the connection is lost" in rows(Moment(0.5, Kind.MOVED, home(R1), 0, "lost"))[0]


@pytest.mark.parametrize(("status", "left"), [("DEADLINE_EXCEEDED", True), ("CANCELLED", True), ("UNAVAILABLE", False)])
def test_deadline_and_cancellation_are_the_clients_doing(status: str, left: bool) -> None:
    assert Moment(0, Kind.ENDED, Home(), 0, f"{status} for some reason").by_server is not left
    (line,) = rows(Moment(0, Kind.ENDED, Home(), 0, f"{status} for some reason"))
    assert ("◀─" in line) is not left


def test_timeline_is_ascii_where_nothing_else_can_be_shown_and_long_lines_are_cut() -> None:
    (wrote, read) = rows(
        Moment(0, Kind.WROTE, home(R1), 1, "x" * 500),
        Moment(0, Kind.READ, home(R1), 1, "\x1b[2Jé"),
        paper=Paper(width=80, ascii_only=True),
    )
    assert "." in wrote
    assert wrote.isascii()
    assert len(wrote) <= 80
    assert "<- 1 ?[2J?" in read


def test_colours_change_no_width() -> None:
    moment = Moment(0, Kind.CLOSED, home(R1))
    (plain,), (painted,) = rows(moment), rows(moment, paper=Paper(width=80, colour=True))
    assert painted.replace("\x1b[1m", "").replace("\x1b[0m", "") == plain


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_has_an_rpc_and_a_proper_end(mode: Mode) -> None:
    assert mode.method
    assert mode.status in ("OK", "DEADLINE_EXCEEDED", "CANCELLED")
    assert not mode.can_move or mode.status == "OK"


def test_failed_stream_is_told_as_such_and_its_words_below() -> None:
    found = report([FakeTalk("a", Home(), status="RESOURCE_EXHAUSTED", details="too large")])
    assert found.verdict() == (False, "The stream ended with RESOURCE_EXHAUSTED, not with OK.", [])
    assert "1 stream: RESOURCE_EXHAUSTED instead of OK: too large" in page_of(found, Paper())
