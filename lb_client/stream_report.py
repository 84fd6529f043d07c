"""How a run of streams went: streams and messages apart, both sides' view, JSON. Pure; drawn by stream_page.py."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lb_client.membership import natural_key
from lb_client.phrases import and_more, counted
from lb_client.stats import even_share, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lb_client.membership import Member
    from lb_client.script import Moment, Script
    from lb_client.talk import Talk
    from lb_client.warmup import WarmUp

_SAME = {"OK": "completed", "CANCELLED": "cancelled", "DEADLINE_EXCEEDED": "deadline-exceeded"}


@dataclass(frozen=True, slots=True)
class ServerView:
    """How a replica saw a conversation.

    Attributes:
        replica: Its id.
        ending: As in `lbdemo.v1.Outcome`; `no answer` when it could not be asked.
        received: Lines it read.
        sent: Lines it wrote.
        open_s: How long it was open there.
    """

    replica: str
    ending: str
    received: int = 0
    sent: int = 0
    open_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For the JSON report."""
        return {
            "replica": self.replica,
            "ending": self.ending,
            "received": self.received,
            "sent": self.sent,
            "open_s": round(self.open_s, 6),
        }


@dataclass(slots=True)
class Row:
    """One replica in the report.

    Attributes:
        opened: Streams that were opened there, moves included.
        streams: Those that ended there.
        sent: Messages written to it.
        received: Messages read from it.
        failed: Streams that ended there in another way than asked for.
    """

    id: str
    address: str
    opened: int = 0
    streams: int = 0
    sent: int = 0
    received: int = 0
    failed: int = 0

    @property
    def messages(self) -> int:
        """Both ways."""
        return self.sent + self.received

    def as_dict(self) -> dict[str, Any]:
        """For the JSON report."""
        return {
            "id": self.id or None,
            "address": self.address or None,
            "streams": self.streams,
            "opened": self.opened,
            "messages_sent": self.sent,
            "messages_received": self.received,
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """A finished run.

    Attributes:
        target: Whom it went to.
        via: `client`, or `proxy`.
        proxy: The proxy's address, "" without one.
        proxy_origin: Where the proxy came from, in words.
        policy: The channel's policy.
        script: What was said on each stream.
        requested: Every input, for the report to repeat.
        talks: The conversations.
        ready: Who could have been picked when it began.
        ready_now: The same when it ended.
        warm_up: How long connecting took.
        elapsed_s: All of it, without warm-up.
        stopped: Whether Ctrl-C ended it.
        views: By conversation, what each of its replicas says of it, in the order of its homes.
        moments: What happened, if it was one stream.
    """

    target: str
    policy: str
    script: Script
    requested: Mapping[str, Any]
    talks: Sequence[Talk]
    ready: Sequence[Member]
    ready_now: Sequence[Member]
    warm_up: WarmUp
    elapsed_s: float
    via: str = "client"
    proxy: str = ""
    proxy_origin: str = ""
    stopped: bool = False
    views: Mapping[str, Sequence[ServerView]] = field(default_factory=dict)
    moments: Sequence[Moment] = ()

    @property
    def rows(self) -> list[Row]:
        """One for each replica, in the order of their names; those that got nothing too."""
        rows = {key: Row(*key) for key in (*self._keys(self.ready), *self._keys(self.ready_now))}
        for talk in self.talks:
            for home in talk.homes:
                row = rows.setdefault((home.replica, home.address), Row(home.replica, home.address))
                row.opened += 1
                row.sent += home.sent
                row.received += home.received
            last = talk.homes[-1]
            row = rows[last.replica, last.address]
            row.streams += 1
            row.failed += talk.failed
        known = [row for row in rows.values() if row.id or row.address or row.opened]
        return sorted(known, key=lambda row: natural_key(row.id, row.address))

    def _keys(self, members: Sequence[Member]) -> list[tuple[str, str]]:
        """Names and addresses; the name is the answers' where only they told it. Nobody where a front hides them."""
        told = {home.address: home.replica for talk in self.talks for home in talk.homes if home.address}
        return [(m.id or told.get(m.address, ""), m.address) for m in members] if not self.front else []

    @property
    def front(self) -> str:
        """The one address behind which others answered: of a proxy, most often. "" when there is none."""
        addresses = {member.address for member in (*self.ready, *self.ready_now)}
        answered = {home.address for talk in self.talks for home in talk.homes if home.address}
        named = any(member.id for member in (*self.ready, *self.ready_now))
        return addresses.pop() if len(addresses) == 1 and answered and not named and not answered & addresses else ""

    @property
    def sent(self) -> int:
        """Messages written."""
        return sum(talk.sent for talk in self.talks)

    @property
    def received(self) -> int:
        """Messages read."""
        return sum(talk.received for talk in self.talks)

    @property
    def messages(self) -> int:
        """Both ways."""
        return self.sent + self.received

    @property
    def rate_per_s(self) -> float:
        """Messages per second, both ways."""
        return self.messages / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def failed(self) -> int:
        """Streams that ended in another way than their mode asks for."""
        return sum(talk.failed for talk in self.talks)

    @property
    def statuses(self) -> dict[str, int]:
        """How many streams ended how."""
        return dict(sorted(Counter(talk.status for talk in self.talks).items()))

    @property
    def endings(self) -> dict[str, int]:
        """The same as the last replica of each saw it."""
        return dict(sorted(Counter(views[-1].ending for views in self.views.values() if views).items()))

    @property
    def disagreements(self) -> list[str]:
        """Conversations whose end both sides saw differently, or that one side knows nothing of."""
        found = []
        for talk in self.talks:
            views = self.views.get(talk.name, ())
            if views and _SAME.get(talk.status, views[-1].ending) != views[-1].ending:
                found.append(talk.name)
        return found

    @property
    def moves(self) -> dict[str, int]:
        """How many moves there were, by reason."""
        return dict(sorted(Counter(move.reason for talk in self.talks for move in talk.moves).items()))

    @property
    def even(self) -> bool | None:
        """Whether the streams are spread as evenly as can be; None where that cannot be said."""
        counts = [row.streams for row in self._judged]
        if self.policy != "round_robin" or not counts or sum(counts) != len(self.talks) or self.front:
            return None
        # Streams that moved came in a second round, which round_robin begins where it likes.
        return spread(counts) <= 1 or (None if self.moves else False)

    @property
    def _judged(self) -> list[Row]:
        """The rows of those who can be picked, or have streams: whoever left has had his share."""
        now = set(self._keys(self.ready_now))
        return [row for row in self.rows if (row.id or row.address) and (row.streams or (row.id, row.address) in now)]

    def verdict(self) -> tuple[bool | None, str, list[str]]:
        """Whether calls were balanced, the sentence that says so, and what follows from it for messages."""
        rows = self._judged
        streams = "/".join(str(row.streams) for row in rows)
        messages = "/".join(f"{row.messages:,}" for row in rows)
        if len(self.talks) == 1:
            return self._of_one()
        even, where = self.even, f"{counted(len(self.talks), 'stream')} over {counted(len(rows), 'endpoint')}"
        low, high = even_share(len(self.talks), max(1, len(rows)))
        expected = f"{low}" if low == high else f"{low} or {high}"
        if self.front:
            first = f"{where} behind {self.front}, {streams}."
        elif even is None:
            first = f"{where}, {streams}."
        elif even:
            first = f"Calls are balanced: {where}, {streams}."
        else:
            first = f"Calls are not even: {where}, {streams}; {expected} on each would be."
        alike = (
            spread(row.messages for row in rows)
            <= spread(row.streams for row in rows) * max((talk.sent + talk.received for talk in self.talks), default=0)
            and len({talk.sent + talk.received for talk in self.talks}) == 1
        )
        if alike:
            second = (
                f"Messages are not, they only follow: {messages}, because every stream had as many. "
                "A stream stays on its replica, whatever it carries."
            )
        else:
            second = f"Messages are not balanced: {messages}. A stream stays on its replica, and so do its messages."
        old = set(self._keys(self.ready))
        if self.front:
            reason = f"{self.front} is one address: a proxy or an L4 balancer chooses there, not this client's policy."
            return even, first, [second, reason]
        late = [row.id or row.address for row in rows if not row.opened and (row.id, row.address) not in old]
        if late:
            reason = f"{and_more(late)} came when the streams were open: 'lbdemo rebalance' spreads them again."
            return even, first, [second, reason]
        return even, first, [second]

    def _of_one(self) -> tuple[bool | None, str, list[str]]:
        talk, rows = self.talks[0], [row for row in self.rows if row.id or row.address]
        if talk.failed:
            return False, f"The stream ended with {talk.status}, not with {self.script.mode.status}.", []
        served = [row for row in rows if row.opened]
        found = list(dict.fromkeys(row.id or row.address for row in served))
        names = and_more(found) or "nobody known"
        idle = [name for row in rows if not row.opened and (name := row.id or row.address) not in found]
        first = f"One call, {counted(talk.sent + talk.received, 'message')}, all with {names}."
        if talk.moves:
            often = {1: "once", 2: "twice"}.get(len(talk.moves), f"{len(talk.moves)} times")
            way = ", then ".join(home.replica or "nobody known" for home in talk.homes[:8])
            first = f"One stream, {counted(talk.sent + talk.received, 'message')}, moved {often}: {way}."
        rest = "Calls are balanced, messages are not: a stream stays on its replica"
        rest += f", and {and_more(idle)} got none." if idle else "."
        if self.front:
            return None, first, [rest, f"{self.front} is one address, and chose who has the stream."]
        return None, first, [rest]

    def as_dict(self) -> dict[str, Any]:
        """The JSON report: a contract, keys are added and never renamed."""
        even, sentence, reasons = self.verdict()
        rows = self.rows
        return {
            "target": self.target,
            "via": self.via,
            "proxy": self.proxy or None,
            "policy": self.policy,
            "requested": dict(self.requested),
            "streams": len(self.talks),
            "failed": self.failed,
            "messages": {"sent": self.sent, "received": self.received, "rate_per_s": round(self.rate_per_s, 3)},
            "elapsed_s": round(self.elapsed_s, 6),
            "statuses": self.statuses,
            "servers": self.endings,
            "disagreements": self.disagreements,
            "moves": self.moves,
            "interrupted": self.stopped,
            "backends": [row.as_dict() for row in rows],
            "spread": {
                "streams_max_minus_min": spread(row.streams for row in rows),
                "messages_max_minus_min": spread(row.messages for row in rows),
            },
            "verdict": {"even": even, "sentence": sentence, "reasons": reasons},
            "conversations": [self._conversation(talk) for talk in self.talks],
            "timeline": [_moment(moment) for moment in self.moments],
        }

    def _conversation(self, talk: Talk) -> dict[str, Any]:
        return {
            "conversation": talk.name,
            "status": talk.status,
            "details": talk.details,
            "sent": talk.sent,
            "received": talk.received,
            "elapsed_s": round(talk.elapsed_s, 6),
            "replicas": [home.replica or None for home in talk.homes],
            "moves": [
                {"reason": m.reason, "from": m.replica or None, "status": m.code.name, "sent_again": m.unacknowledged}
                for m in talk.moves
            ],
            "servers": [view.as_dict() for view in self.views.get(talk.name, ())],
        }


def _moment(moment: Moment) -> dict[str, Any]:
    return {
        "at_s": round(moment.at_s, 6),
        "who": "server" if moment.by_server else "client",
        "what": moment.kind.name.lower(),
        "number": moment.number or None,
        "text": moment.text,
        "replica": moment.home.replica or None,
    }
