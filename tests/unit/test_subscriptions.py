"""The rules of the xDS transport protocol, one test each, with literals: docs/xds.md links each to its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf import any_pb2

from resolver.xds.resources import CLUSTER, ENDPOINTS, LISTENER, Resource
from resolver.xds.subscriptions import Request, Response, Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass
class Truth:
    """Resources by type and name, each just a version."""

    versions: dict[tuple[str, str], str] = field(default_factory=dict)

    def find(self, type_url: str, name: str) -> Resource | None:
        version = self.versions.get((type_url, name))
        return None if version is None else Resource(type_url, name, version, any_pb2.Any())

    def names(self, type_url: str) -> Iterable[str]:
        return [name for (of_type, name) in self.versions if of_type == type_url]


def told(responses: list[Response]) -> list[tuple[str, dict[str, str]]]:
    """What the responses say: type, and version by name."""
    return [(r.type_url, {resource.name: resource.version for resource in r.resources}) for r in responses]


def test_a_subscription_is_answered_once() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    assert told(stream.due(truth)) == [(ENDPOINTS, {"a": "1"})]
    assert stream.due(truth) == []


def test_an_ack_asks_for_nothing() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    (response,) = stream.due(truth)
    assert stream.receive(Request(type_url=ENDPOINTS, names=("a",), nonce=response.nonce)) is None
    assert stream.due(truth) == []


def test_every_change_is_told_with_a_new_nonce() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    nonces = set()
    for version in ("1", "2", "3"):
        truth.versions[ENDPOINTS, "a"] = version
        (response,) = stream.due(truth)
        assert response.version == version
        nonces.add(response.nonce)
    assert len(nonces) == 3


def test_changes_between_two_looks_are_told_as_the_last_one() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    stream.due(truth)
    truth.versions[ENDPOINTS, "a"] = "2"
    truth.versions[ENDPOINTS, "a"] = "3"
    assert told(stream.due(truth)) == [(ENDPOINTS, {"a": "3"})]


def test_a_rejected_version_is_reported_once_and_not_sent_again() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    (response,) = stream.due(truth)
    rejection = stream.receive(Request(type_url=ENDPOINTS, names=("a",), nonce=response.nonce, error="bad weight"))
    assert rejection is not None
    assert (rejection.names, rejection.version, rejection.reason) == (("a",), "1", "bad weight")
    assert stream.due(truth) == []
    # The same verdict again is no news.
    assert stream.receive(Request(type_url=ENDPOINTS, names=("a",), nonce=response.nonce, error="bad weight")) is None
    truth.versions[ENDPOINTS, "a"] = "2"
    assert told(stream.due(truth)) == [(ENDPOINTS, {"a": "2"})]


def test_a_rejection_does_not_hold_back_what_was_not_rejected() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    (response,) = stream.due(truth)
    stream.receive(Request(type_url=ENDPOINTS, names=("a", "b"), nonce=response.nonce, error="bad"))
    truth.versions[ENDPOINTS, "b"] = "2"
    assert told(stream.due(truth)) == [(ENDPOINTS, {"b": "2"})]


def test_of_several_rejected_together_each_is_tried_alone() -> None:
    truth = Truth({(ENDPOINTS, name): "1" for name in "abc"})
    stream = Subscriptions()
    names = ("a", "b", "c")
    stream.receive(Request(type_url=ENDPOINTS, names=names))
    (together,) = stream.due(truth)
    stream.receive(Request(type_url=ENDPOINTS, names=names, nonce=together.nonce, error="b is bad"))
    tried = []
    while responses := stream.due(truth):
        (response,) = responses
        assert stream.due(truth) == [], "the next one waits until this one is judged"
        (resource,) = response.resources
        tried.append(resource.name)
        error = "b is bad" if resource.name == "b" else None
        stream.receive(Request(type_url=ENDPOINTS, names=names, nonce=response.nonce, error=error))
    assert tried == ["a", "b", "c"]
    truth.versions[ENDPOINTS, "a"] = "2"
    assert told(stream.due(truth)) == [(ENDPOINTS, {"a": "2"})]


def test_a_version_stands_for_one_content() -> None:
    truth = Truth({(CLUSTER, "a"): "1", (CLUSTER, "b"): "2"})
    stream = Subscriptions()
    stream.receive(Request(type_url=CLUSTER))
    versions = [response.version for response in stream.due(truth)]
    del truth.versions[CLUSTER, "a"]
    versions += [response.version for response in stream.due(truth)]
    del truth.versions[CLUSTER, "b"]
    versions += [response.version for response in stream.due(truth)]
    assert len(set(versions)) == 3


def test_a_stale_nonce_is_ignored() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    (first,) = stream.due(truth)
    truth.versions[ENDPOINTS, "a"] = "2"
    stream.due(truth)
    assert stream.receive(Request(type_url=ENDPOINTS, names=("a",), nonce=first.nonce, error="too late")) is None
    assert stream.due(truth) == []
    stream.receive(Request(type_url=ENDPOINTS, names=(), nonce=first.nonce))
    truth.versions[ENDPOINTS, "a"] = "3"
    assert told(stream.due(truth)) == [(ENDPOINTS, {"a": "3"})]


def test_a_name_left_and_taken_up_again_is_told_again_in_the_same_version() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1", (ENDPOINTS, "b"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a", "b")))
    (response,) = stream.due(truth)
    stream.receive(Request(type_url=ENDPOINTS, names=("a",), nonce=response.nonce))
    assert stream.due(truth) == []
    stream.receive(Request(type_url=ENDPOINTS, names=("a", "b"), nonce=response.nonce))
    assert told(stream.due(truth)) == [(ENDPOINTS, {"b": "1"})]


def test_changes_of_a_name_that_was_left_are_not_told() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    (response,) = stream.due(truth)
    stream.receive(Request(type_url=ENDPOINTS, names=(), nonce=response.nonce))
    truth.versions[ENDPOINTS, "a"] = "2"
    assert stream.due(truth) == []


def test_a_client_that_comes_back_with_an_old_version_and_no_nonce_is_told_everything() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    stream.due(truth)
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    assert told(stream.due(truth)) == [(ENDPOINTS, {"a": "1"})]


def test_an_empty_first_list_means_everything_for_listeners_and_clusters() -> None:
    truth = Truth({(CLUSTER, "a"): "1", (CLUSTER, "b"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=CLUSTER))
    assert told(stream.due(truth)) == [(CLUSTER, {"a": "1", "b": "1"})]
    truth.versions[CLUSTER, "c"] = "2"
    assert told(stream.due(truth)) == [(CLUSTER, {"a": "1", "b": "1", "c": "2"})]
    del truth.versions[CLUSTER, "a"]
    assert told(stream.due(truth)) == [(CLUSTER, {"b": "1", "c": "2"})]


def test_an_empty_first_list_means_nothing_for_endpoints() -> None:
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS))
    assert stream.due(Truth({(ENDPOINTS, "a"): "1"})) == []


def test_an_empty_list_after_names_were_sent_means_nothing() -> None:
    truth = Truth({(CLUSTER, "a"): "1", (CLUSTER, "b"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=CLUSTER, names=("a",)))
    (response,) = stream.due(truth)
    stream.receive(Request(type_url=CLUSTER, names=(), nonce=response.nonce))
    truth.versions[CLUSTER, "b"] = "2"
    assert stream.due(truth) == []


def test_a_star_stands_for_every_name() -> None:
    truth = Truth({(LISTENER, "a"): "1", (LISTENER, "b"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=LISTENER, names=("*",)))
    assert told(stream.due(truth)) == [(LISTENER, {"a": "1", "b": "1"})]


def test_a_listener_that_does_not_exist_is_told_to_be_absent_once() -> None:
    stream = Subscriptions()
    stream.receive(Request(type_url=LISTENER, names=("nobody",)))
    assert told(stream.due(Truth())) == [(LISTENER, {})]
    assert stream.due(Truth()) == []


def test_endpoints_that_do_not_exist_yet_are_told_when_they_do() -> None:
    truth = Truth()
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    assert stream.due(truth) == []
    truth.versions[ENDPOINTS, "a"] = "1"
    assert told(stream.due(truth)) == [(ENDPOINTS, {"a": "1"})]


def test_a_listener_that_vanishes_is_told_to_be_absent() -> None:
    truth = Truth({(LISTENER, "a"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=LISTENER, names=("a",)))
    stream.due(truth)
    truth.versions.clear()
    assert told(stream.due(truth)) == [(LISTENER, {})]
    assert stream.due(truth) == []


def test_of_endpoints_only_what_changed_is_told() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1", (ENDPOINTS, "b"): "1"})
    stream = Subscriptions()
    stream.receive(Request(type_url=ENDPOINTS, names=("a", "b")))
    stream.due(truth)
    truth.versions[ENDPOINTS, "b"] = "2"
    assert told(stream.due(truth)) == [(ENDPOINTS, {"b": "2"})]


def test_what_is_referred_to_is_told_before_what_refers_to_it() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1", (CLUSTER, "a"): "1", (LISTENER, "a"): "1"})
    stream = Subscriptions()
    for type_url in (ENDPOINTS, LISTENER, CLUSTER):
        stream.receive(Request(type_url=type_url, names=("a",)))
    assert [response.type_url for response in stream.due(truth)] == [CLUSTER, ENDPOINTS, LISTENER]


def test_streams_know_nothing_of_each_other() -> None:
    truth = Truth({(ENDPOINTS, "a"): "1"})
    one, other = Subscriptions(), Subscriptions()
    for stream in (one, other):
        stream.receive(Request(type_url=ENDPOINTS, names=("a",)))
    (response,) = one.due(truth)
    one.receive(Request(type_url=ENDPOINTS, names=("a",), nonce=response.nonce, error="not for me"))
    assert told(other.due(truth)) == [(ENDPOINTS, {"a": "1"})]


def test_a_type_that_nobody_serves_is_kept_quiet_about() -> None:
    stream = Subscriptions()
    stream.receive(Request(type_url="type.googleapis.com/envoy.service.runtime.v3.Runtime", names=("r",)))
    assert stream.due(Truth()) == []
