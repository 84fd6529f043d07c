"""Versions on a real channel: a share of the calls, a header, and a version's whole life without losing a call."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest

import lb_client
from lb_client import RingHash, RoundRobin, StaticWeights
from lb_client.chance import bounds
from resolver.model import Endpoint
from resolver.registry.shares import FILE
from resolver.testing import ManualRegistry
from tests.support.backend import METHOD, Backend, assert_round_robin, awho, who
from tests.support.eventually import aeventually, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lb_client.policy import Policy

VERSIONS = {"old0": "v1", "old1": "v1", "new0": "v2", "new1": "v2"}


@pytest.fixture
def backends() -> Iterator[dict[str, Backend]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Backend(name)) for name in VERSIONS}


class Life:
    """A registry in which a second version lives."""

    def __init__(self, registry: ManualRegistry, backends: dict[str, Backend]) -> None:
        self.registry = registry
        self.backends = backends

    def set(self, *names: str, share: float | None = None) -> None:
        self.registry.set(self.endpoint(name, share) for name in names)

    def endpoint(self, name: str, share: float | None) -> Endpoint:
        metadata = {"version": VERSIONS[name]}
        if share is not None and VERSIONS[name] == "v2":
            metadata["share"] = str(share)
        return replace(Endpoint.at(self.backends[name].address), metadata=tuple(sorted(metadata.items())))


@pytest.fixture
def life(backends: dict[str, Backend]) -> Iterator[Life]:
    with ManualRegistry() as registry:
        life = Life(registry, backends)
        life.set("old0", "old1")
        yield life


def asking(channel: grpc.Channel, version: str, calls: int) -> list[str]:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    return [call(b"", timeout=5, metadata=(("x-version", version),)).decode() for _ in range(calls)]


def news(channel: grpc.Channel, calls: int) -> int:
    return sum(name.startswith("new") for name in who(channel, calls))


def assert_all(channel: grpc.Channel, *names: str) -> None:
    assert set(who(channel, 80)) == set(names)


@contextmanager
def calls_all_the_time(channel: grpc.Channel, *asked: str) -> Iterator[Counter[str]]:
    """Two callers, and one for each version that is asked for; who answered. Raises what failed."""
    answers: Counter[str] = Counter()
    failures: list[grpc.RpcError] = []
    over = threading.Event()

    def run(metadata: tuple[tuple[str, str], ...] | None) -> None:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        while not over.is_set():
            try:
                answers[call(b"", timeout=5, metadata=metadata).decode()] += 1
            except grpc.RpcError as error:
                failures.append(error)

    metadata = [None, None, *((("x-version", version),) for version in asked)]
    threads = [threading.Thread(target=run, args=(each,)) for each in metadata]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, (len(failures), failures[0])


def test_a_version_gets_its_share_and_every_call_that_asks_for_it(life: Life) -> None:
    with lb_client.insecure_channel(life.registry.target) as channel:
        eventually(lambda: assert_round_robin(who(channel, 10), ["old0", "old1"]))
        life.set(*VERSIONS, share=10)
        eventually(lambda: assert_all(channel, *VERSIONS))
        found = Counter(who(channel, 1500))
        low, high = bounds(1500, 0.1)
        assert low <= found["new0"] + found["new1"] <= high, found
        assert abs(found["new0"] - found["new1"]) <= 1
        assert abs(found["old0"] - found["old1"]) <= 1
        assert_round_robin(asking(channel, "v2", 50), ["new0", "new1"])
        assert_round_robin(asking(channel, "v1", 50), ["old0", "old1"])
        assert {name[:3] for name in asking(channel, "v9", 100)} == {"old", "new"}


@pytest.mark.parametrize("policy", [RoundRobin(), StaticWeights(), RingHash("key")])
def test_a_version_comes_grows_takes_over_and_the_old_one_goes_and_no_call_is_lost(policy: Policy, life: Life) -> None:
    with lb_client.insecure_channel(life.registry.target, policy=policy) as channel:
        eventually(lambda: assert_all(channel, "old0", "old1"))
        with calls_all_the_time(channel, "v2"):
            for share in (0.0, 10.0, 50.0, 100.0):
                life.set(*VERSIONS, share=share)
                eventually(partial(assert_share, channel, bounds(200, share / 100)))
            life.set("new0", "new1", share=100)
            eventually(lambda: assert_all(channel, "new0", "new1"))
            life.set("new0", "new1")
            eventually(lambda: assert_all(channel, "new0", "new1"))
            life.set("old0", "old1", "new0", "new1", share=100)
            life.set("old0", "old1")
            eventually(lambda: assert_all(channel, "old0", "old1"))


def assert_share(channel: grpc.Channel, allowed: tuple[int, int]) -> None:
    assert allowed[0] <= news(channel, 200) <= allowed[1]


def test_versions_that_come_and_go_all_the_time_lose_no_call(life: Life) -> None:
    with lb_client.insecure_channel(life.registry.target) as channel:
        eventually(lambda: assert_all(channel, "old0", "old1"))
        with calls_all_the_time(channel, "v2") as answers:
            for number in range(40):
                life.set(*VERSIONS, share=number * 7 % 101)
                asking(channel, "v2", 2)
                life.set("old0", "old1")
                who(channel, 2)
        assert answers["old0"]


def test_a_version_that_falls_ill_leaves_its_share_to_the_others_and_no_call_is_lost(
    life: Life, backends: dict[str, Backend]
) -> None:
    with lb_client.insecure_channel(life.registry.target) as channel:
        life.set(*VERSIONS, share=50)
        eventually(lambda: assert_all(channel, *VERSIONS))
        with calls_all_the_time(channel):
            for well in (False, True, False):
                for name in ("new0", "new1"):
                    backends[name].set_serving(well)
                names = VERSIONS if well else ("old0", "old1")
                eventually(partial(assert_all, channel, *names))
        # Who asks for it is told: nobody else answers in its name.
        with pytest.raises(grpc.RpcError, match="contains empty localities"):
            asking(channel, "v2", 1)
        backends["new1"].set_serving(True)
        eventually(lambda: assert_all(channel, "old0", "old1", "new1"))
        assert set(asking(channel, "v2", 10)) == {"new1"}


def test_the_first_version_may_fall_ill_and_the_second_takes_over(life: Life, backends: dict[str, Backend]) -> None:
    with lb_client.insecure_channel(life.registry.target) as channel:
        life.set(*VERSIONS, share=0)
        eventually(lambda: assert_all(channel, "old0", "old1"))
        with calls_all_the_time(channel):
            for name in ("old0", "old1"):
                backends[name].set_serving(False)
            eventually(lambda: assert_all(channel, "new0", "new1"))


def test_versions_without_shares_go_round_as_one(life: Life) -> None:
    with lb_client.insecure_channel(life.registry.target) as channel:
        life.set(*VERSIONS)
        eventually(lambda: assert_round_robin(who(channel, 40), VERSIONS))
        assert_round_robin(asking(channel, "v2", 10), ["new0", "new1"])


def test_connections_are_kept_when_shares_change(life: Life, backends: dict[str, Backend]) -> None:
    with lb_client.insecure_channel(life.registry.target) as channel:
        for share in (10, 50, 90):
            life.set(*VERSIONS, share=share)
            eventually(lambda: assert_all(channel, *VERSIONS))
    assert [len(backend.peers) for backend in backends.values()] == [1, 1, 1, 1]


async def test_the_twin_for_asyncio_follows_the_file_of_a_folder(tmp_path: Path, backends: dict[str, Backend]) -> None:
    for name, version in VERSIONS.items():
        record = {"Op": 0, "Addr": backends[name].address, "Metadata": {"id": name, "version": version}}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    async with lb_client.aio.insecure_channel(f"dir://{tmp_path}") as channel:

        async def only(*names: str) -> None:
            assert set(await awho(channel, 60)) == set(names)

        await aeventually(lambda: only(*VERSIONS))
        for share, names in ((0, ("old0", "old1")), (100, ("new0", "new1")), (50, tuple(VERSIONS))):
            unfinished = tmp_path / ".new"
            unfinished.write_text(json.dumps({"v2": share}))
            unfinished.replace(tmp_path / FILE)
            await aeventually(partial(only, *names))
