"""Why endpoints that could take calls got none, or only for a time: other zones, other versions, other shares. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client.membership import MemberState
from lb_client.phrases import and_more

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lb_client.membership import Membership


def reasons(
    looks: Sequence[Membership], zone: str, version: str, *, policy: str = "", proxied: bool = False
) -> Iterator[str]:
    """One line for each thing that explains the spread, from all looks of a run.

    Args:
        looks: The membership when the run began, and after each change.
        zone: Whose endpoints came first; "" for no preference.
        version: Which version the calls asked for; "" for none.
        policy: The policy's name.
        proxied: Whether an Envoy of ours balanced.
    """
    if policy == "round_robin" and not proxied:
        yield from _ignored_weights(looks)
    if zone:
        yield from _zone_reasons(looks, zone)
    if version and proxied:
        yield f"the proxy does not look at x-version: calls for {version} spread like all others"
    elif version and any(member.version == version for look in looks for member in look.members):
        yield f"every call asked for version {version}: it goes to no other"
    if not zone and not version and not proxied and looks:
        idle = sorted({m.label for m in looks[-1].members if m.state is MemberState.STANDBY})
        if idle:
            yield f"{and_more(idle)} {_stand(len(idle))} by: the shares leave nothing to their version"
    yield from _changed_shares(looks)


def _changed_shares(looks: Sequence[Membership]) -> Iterator[str]:
    told: list[str] = []
    for look in looks:
        parts: dict[str, float] = {}
        for member in look.ready:
            if member.expected.part and member.expected.share is not None:
                parts[member.expected.part] = parts.get(member.expected.part, 0.0) + member.expected.share
        shares = ", ".join(f"{part} {share * 100:.4g} %" for part, share in sorted(parts.items()))
        if shares and (not told or told[-1] != shares):
            told.append(shares)
    if len(told) > 1:
        yield f"the shares changed during the run: {and_more(told)}"


def _ignored_weights(looks: Sequence[Membership]) -> Iterator[str]:
    weights = {member.label: member.weight for look in looks for member in look.ready}
    if len(set(weights.values())) > 1:
        yield "the weights that records tell are ignored: --policy static_weights keeps to them"


def _zone_reasons(looks: Sequence[Membership], zone: str) -> Iterator[str]:
    ready = [{member.zone for member in look.ready} for look in looks if look.ready]
    known = any(member.zone == zone for look in looks for member in look.members)
    away = [zones for zones in ready if zone not in zones]
    if not known:
        yield f"no endpoint is in zone {zone}: it makes no difference"
    elif away and len(away) == len(ready):
        yield f"failover: nobody in zone {zone} could take them, so the calls went to zone {_named(away)}"
    elif away:
        yield f"failover: for a time nobody in zone {zone} could take calls, and they went to zone {_named(away)}"
    else:
        standing = {m.label for look in looks for m in look.members if m.state is MemberState.STANDBY}
        if standing:
            yield f"zone {zone} comes first: {and_more(sorted(standing))} elsewhere {_stand(len(standing))} by"


def _named(away: Sequence[set[str]]) -> str:
    return " and ".join(sorted({zone or "(none)" for zones in away for zone in zones}))


def _stand(number: int) -> str:
    return "stands" if number == 1 else "stand"
