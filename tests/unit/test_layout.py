"""Zones, weights and versions of a cluster's replicas: by number, over restarts, scaling and a version's whole life."""

from __future__ import annotations

import json
from dataclasses import replace

import click
import pytest

from backends import fleet as fleets
from backends.change import refuse_other_layout
from backends.cluster_errors import OtherLayoutError
from backends.decision import Drain, Start, decide
from backends.fleet import Fleet, Member, Version
from backends.layout import Layout, layout_from_json
from backends.phase import Phase
from backends.versions import shares, with_version, without_version
from backends.view import ClusterView, ReplicaView
from lb_client.cli.layout_values import Name, Percent, Weights, Zones

NOW = 1000.0


def test_replicas_take_zones_in_turn_and_weights_in_order() -> None:
    layout = Layout(zones=("a", "b"), weights=(5, 3, 2))
    assert [layout.zone(number) for number in range(1, 6)] == ["a", "b", "a", "b", "a"]
    assert [layout.weight(number) for number in range(1, 6)] == [5, 3, 2, 1, 1]
    assert layout.metadata(2, "v1") == (("version", "v1"), ("weight", "3"), ("zone", "b"))
    assert Layout().metadata(1, "v1") == (("version", "v1"), ("weight", "1"))


def test_a_layout_goes_through_json_as_it_is() -> None:
    layout = Layout(("a",), (5,), "v7")
    told = {"zones": layout.zones, "weights": layout.weights, "version": layout.version}
    assert layout_from_json(json.loads(json.dumps(told))) == layout


def running(*versions: str, others: tuple[Version, ...] = ()) -> Fleet:
    members = tuple(
        Member(number=n, version=version, phase=Phase.RUNNING, address=f"127.0.0.1:{n}", pid=n, serving_at=NOW)
        for n, version in enumerate(versions, 1)
    )
    return Fleet(wanted=versions.count("v1"), members=members, others=others)


def test_a_new_version_gets_the_next_free_numbers() -> None:
    fleet = with_version(running("v1", "v1"), "v2", share=10)
    assert (fleet.total, fleet.settled, shares(fleet)) == (3, False, {"v2": 10})
    decision = decide(fleet, NOW)
    assert decision.actions == (Start("r3"),)
    assert decision.fleet.members[2].version == "v2"


def test_scaling_one_version_leaves_the_others_alone() -> None:
    fleet = running("v1", "v1", "v2", "v1", others=(Version(name="v2", wanted=1),))
    assert decide(fleets.scaled(fleet, 2), NOW).actions == (Drain("r4"),)
    assert decide(with_version(fleet, "v2", wanted=2), NOW).actions == (Start("r5"),)


def test_a_share_changes_and_nothing_starts_or_stops() -> None:
    fleet = with_version(running("v1", "v2", others=(Version(name="v2", wanted=1, share=10),)), "v2", share=50)
    assert shares(fleet) == {"v2": 50}
    assert decide(fleet, NOW).actions == ()


def test_a_replica_that_died_comes_back_as_the_version_it_was() -> None:
    fleet = running("v1", "v2", others=(Version(name="v2", wanted=1, share=10),))
    died = fleets.exited(fleet, "r2", code=None, why="killed by SIGKILL", now=NOW)
    assert died.members[1].version == "v2"
    again = decide(died, NOW + 60)
    assert again.actions == (Start("r2"),)
    assert again.fleet.members[1].version == "v2"


def test_a_promoted_version_takes_the_first_ones_place() -> None:
    fleet = replace(running("v1", "v1", "v2", others=(Version(name="v2", wanted=1, share=100, service="m:f"),)))
    after = without_version(fleet, "v1")
    assert (after.version, after.wanted, after.service, after.others, shares(after)) == ("v2", 1, "m:f", (), {})
    assert decide(after, NOW).actions == (Drain("r2"), Drain("r1"))


def test_a_canary_that_failed_goes_and_nothing_else() -> None:
    fleet = running("v1", "v2", others=(Version(name="v2", wanted=1, share=10),))
    after = without_version(fleet, "v2")
    assert decide(after, NOW).actions == (Drain("r2"),)
    assert (after.version, after.total) == ("v1", 1)


def test_a_fleet_that_stops_drains_every_version() -> None:
    fleet = fleets.stopped(running("v1", "v2", others=(Version(name="v2", wanted=1),)))
    assert decide(fleet, NOW).actions == (Drain("r2"), Drain("r1"))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("v1", {"share": 10.0}, "'v1' is the first version, which gets what the others leave"),
        ("v3", {"share": 60.0}, "the shares of all versions may be 100 % at most: v2 50 %, v3 60 %"),
        ("v3", {"share": -1.0}, "the shares of all versions may be 100 % at most"),
        ("v3", {"wanted": 0}, "0 replicas: 1 to 1000 are possible"),
        ("v3", {"wanted": 999}, "with these there would be more than 1000 replicas"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, given: dict[str, float], said: str) -> None:
    fleet = running("v1", "v2", others=(Version(name="v2", wanted=1, share=50),))
    with pytest.raises(ValueError, match=said):
        with_version(fleet, name, **given)  # type: ignore[arg-type]  # a number is a number here


def test_what_is_not_there_cannot_go_and_the_last_does_not_go_so() -> None:
    with pytest.raises(ValueError, match="there is no version 'v9': there are v1, v2"):
        without_version(running("v1", "v2", others=(Version(name="v2", wanted=1),)), "v9")
    with pytest.raises(ValueError, match="'v1' is the only version"):
        without_version(running("v1"), "v1")


def test_a_running_cluster_keeps_its_zones_and_weights() -> None:
    replicas = tuple(ReplicaView(id=f"r{n}", zone="ab"[(n - 1) % 2], weight=n) for n in (1, 2))
    view = ClusterView(cluster="c", target="dir:///c", wanted=2, replicas=replicas)
    refuse_other_layout(view, Layout())
    refuse_other_layout(view, Layout(("a", "b"), (1, 2)))
    with pytest.raises(OtherLayoutError, match=r"runs with other zones \(r1 a, r2 b\), which stay"):
        refuse_other_layout(view, Layout(("a", "c")))
    with pytest.raises(OtherLayoutError, match=r"runs with other weights \(r1 1, r2 2\)"):
        refuse_other_layout(view, Layout(weights=(2,)))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Zones(), "a, b", ("a", "b")),
        (Weights(), "5,3 ,65535", (5, 3, 65535)),
        (Percent(), "10%", 10.0),
        (Percent(), "0.25", 0.25),
        (Name("version"), "v2", "v2"),
    ],
)
def test_values_are_read_as_people_write_them(kind: click.ParamType[object], text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Zones(), "a,,b", "'' is no zone"),
        (Zones(), "a b", "'a b' is no zone"),
        (Zones(), "a,a", "zone 'a' stands there twice"),
        (Zones(), ",".join(f"z{n}" for n in range(27)), "27 zones are too many"),
        (Weights(), "5,0", "'0' is no weight"),
        (Weights(), "65536", "'65536' is no weight"),
        (Weights(), "5,x", "'x' is no weight"),
        (Weights(), "5,,2", "'' is no weight"),
        (Weights(), "1.5", "'1.5' is no weight"),
        (Percent(), "101", "'101' is no share"),
        (Percent(), "-1", "'-1' is no share"),
        (Percent(), "nan", "'nan' is no share"),
        (Percent(), "many", "'many' is no share"),
        (Percent(), "0.125", "'0.125' is too fine"),
        (Name("version"), "v 2", "'v 2' is no version"),
    ],
)
def test_values_that_make_no_sense_get_a_line_of_their_own(kind: click.ParamType[object], text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        kind.convert(text, None, None)
