from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resolver.errors import TargetError
from resolver.registry import static
from resolver.target import Target, factory_for, is_known_scheme, known_schemes, register, unregister
from resolver.testing import ManualRegistry

if TYPE_CHECKING:
    from pathlib import Path

    from resolver.registry.base import EndpointWatcher


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("dir:///run/greeter", ("dir", "", "/run/greeter")),
        ("static:10.0.0.1:1,[::1]:2", ("static", "", "10.0.0.1:1,[::1]:2")),
        ("etcd://127.0.0.1:2379/greeter", ("etcd", "127.0.0.1:2379", "/greeter")),
        ("dns://greeter", ("dns", "greeter", "")),
        ("dir:/a", ("dir", "", "/a")),
    ],
)
def test_a_target_is_taken_apart(text: str, parts: tuple[str, str, str]) -> None:
    target = Target.parse(text)
    assert (target.scheme, target.authority, target.path) == parts
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    "text", ["", "greeter", ":x", "Dir:///x", "dir:", "dir://", "dir:///", "9p:x", "dir:/a b", "dir:/a\n"]
)
def test_a_malformed_target_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(TargetError) as refusal:
        Target.parse(text)
    assert "\n" not in str(refusal.value)


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TargetError, match=r"nacos.*known are dir, .*static"):
        factory_for(Target.parse("nacos:x"))


def test_a_registered_scheme_resolves_until_it_is_taken_back() -> None:
    async def watch(_: Target) -> EndpointWatcher:
        yield ()

    register("mine", watch)
    try:
        assert factory_for(Target.parse("mine:x")) is watch
        assert is_known_scheme("mine:x")
    finally:
        unregister("mine")
    assert not is_known_scheme("mine:x")


def test_a_scheme_that_no_uri_can_have_cannot_be_registered() -> None:
    with pytest.raises(ValueError, match="scheme 'My Scheme'"):
        register("My Scheme", static.factory)


def test_grpcs_own_targets_are_not_ours() -> None:
    assert [is_known_scheme(text) for text in ("dns:///x", "127.0.0.1:1", "unix:/x", "static:127.0.0.1:1")] == [
        False,
        False,
        False,
        True,
    ]


def test_a_packages_entry_point_adds_a_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[lbdemo.resolvers]\nacme = resolver.registry.static:factory\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert factory_for(Target.parse("acme:x")) is static.factory
    assert "acme" in known_schemes()


async def test_static_yields_what_it_spells_out_and_then_nothing() -> None:
    watcher = static.factory(Target.parse("static:127.0.0.1:1,[::1]:2"))
    assert [endpoint.address for endpoint in await anext(watcher)] == ["127.0.0.1:1", "[::1]:2"]
    await watcher.aclose()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("static:127.0.0.1", "not ip:port|not host:port"),
        ("static:127.0.0.1:1,", "''"),
        ("static:127.0.0.1:1,127.0.0.1:1", "stands there twice"),
        ("static://127.0.0.1:1", "without '//'"),
        ("static:localhost:1", "'localhost' is not an IPv4 or IPv6 address"),
    ],
)
def test_a_static_target_that_cannot_be_meant_is_refused(text: str, says: str) -> None:
    with pytest.raises(TargetError, match=says):
        static.factory(Target.parse(text))


async def test_a_manual_registry_yields_sets_and_fails_when_told() -> None:
    with ManualRegistry(["127.0.0.1:1"]) as registry:
        watcher = factory_for(Target.parse(registry.target))(Target.parse(registry.target))
        assert [endpoint.port for endpoint in await anext(watcher)] == [1]
        assert registry.watchers == 1
        registry.add("127.0.0.1:2")
        assert [endpoint.port for endpoint in await anext(watcher)] == [1, 2]
        registry.fail(ConnectionError("gone"))
        with pytest.raises(ConnectionError):
            await anext(watcher)
        assert registry.watchers == 0
        with pytest.raises(KeyError):
            registry.remove("127.0.0.1:3")
