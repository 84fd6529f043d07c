"""Who got how many calls: the recorder's tallies joined with what channelz counted and with who should have got some.

Pure. Answers that carry an identity are exact by replica. Where they carry none, channelz tells calls and failures by
address; what neither of the two knows stays without an owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lb_client.membership import natural_key
from lb_client.records import BackendTally
from lb_client.stats import LatencyHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lb_client.channelz import Traffic
    from lb_client.membership import Member

NOBODY = ("", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One backend of a report.

    Attributes:
        id: The replica's name, "" where nobody told.
        address: `host:port`, "" where nobody told: calls that are not known to have reached a backend.
        calls: All of them, failed ones included.
        failed: Those with another status than OK.
        latency: Of its OK calls; None where calls cannot be told apart.
    """

    id: str
    address: str
    calls: int
    failed: int
    latency: LatencyHistogram | None

    @property
    def label(self) -> str:
        """The name for a sentence."""
        return self.id or self.address


@dataclass(frozen=True, slots=True)
class Rows:
    """All backends of a run.

    Attributes:
        known: Sorted: r2 before r10, then by address.
        lost: The calls that nobody is known to have answered; None when there are none.
        anonymous: Whether counts come from channelz alone, because no answer said who it came from.
        front: The one address behind which several replicas answered, "" when there is none.
    """

    known: tuple[Row, ...]
    lost: Row | None
    anonymous: bool
    front: str


def join_rows(
    tallies: Mapping[tuple[str, str], BackendTally],
    traffic: Mapping[str, Traffic],
    expected: Iterable[Member],
) -> Rows:
    """Join tallies by (replica, address), traffic by address, and the members that should have got calls."""
    named = {key: tally for key, tally in tallies.items() if key != NOBODY}
    nameless = tallies.get(NOBODY, BackendTally())
    rows = {key: Row(*key, tally.calls, tally.failed, tally.latency) for key, tally in named.items()}
    # What channelz saw go to an address, and no answer has claimed.
    surplus = {
        address: (
            sent.started - sum(row.calls for row in rows.values() if row.address == address),
            sent.failed - sum(row.failed for row in rows.values() if row.address == address),
        )
        for address, sent in traffic.items()
        if sent.started
    }
    anonymous = not named and bool(surplus)
    # With some answers named it is only to be trusted when it accounts for every call: retries would blur it.
    if nameless.calls and (anonymous or _accounts_for(surplus, nameless)):
        for address, (calls, failed) in surplus.items():
            _claim(rows, address, calls, failed, nameless.latency if len(surplus) == 1 and anonymous else None)
    for member in expected:
        # Who was called here may have announced itself elsewhere; then somebody has answered.
        calls, failed = surplus.get(member.address, (0, 0))
        if calls <= failed and all(row.address != member.address for row in rows.values()):
            rows[member.id, member.address] = Row(member.id, member.address, 0, 0, LatencyHistogram())
    known = tuple(sorted(rows.values(), key=lambda row: natural_key(row.id, row.address)))
    claimed = sum(row.calls for row in known) - sum(tally.calls for tally in named.values())
    left = nameless.calls - claimed
    failed_left = max(
        0, min(left, nameless.failed - (sum(r.failed for r in known) - sum(t.failed for t in named.values())))
    )
    lost = Row("", "", left, failed_left, nameless.latency if not claimed else None) if left > 0 else None
    return Rows(known, lost, anonymous, _front(named, traffic))


def _accounts_for(surplus: Mapping[str, tuple[int, int]], nameless: BackendTally) -> bool:
    return (
        all(calls >= 0 and failed >= 0 for calls, failed in surplus.values())
        and sum(calls for calls, _ in surplus.values()) == nameless.calls
        and sum(failed for _, failed in surplus.values()) == nameless.failed
    )


def _claim(
    rows: dict[tuple[str, str], Row], address: str, calls: int, failed: int, latency: LatencyHistogram | None
) -> None:
    """Give an address calls that nobody else has claimed."""
    if not calls:
        return
    for key, row in rows.items():
        if row.address == address:
            # Failed calls have no latency to lose; answered ones without a name would.
            known = row.latency if calls == failed else None
            rows[key] = Row(row.id, address, row.calls + calls, row.failed + failed, known)
            return
    rows["", address] = Row("", address, calls, failed, LatencyHistogram() if calls == failed else latency)


def _front(named: Mapping[tuple[str, str], BackendTally], traffic: Mapping[str, Traffic]) -> str:
    used = [address for address, sent in traffic.items() if sent.started]
    replicas = {replica for replica, _ in named}
    announced = {address for _, address in named}
    if len(used) != 1 or len(replicas) < 2:
        return ""
    # One of several announced: a replica itself, and the connections to the others have ended since.
    return "" if used[0] in announced and len(announced) > 1 else used[0]
