"""Channels to resolver targets: a stock grpc.Channel each, whose endpoints stay live. Nothing here touches a call."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from resolver import runtime
from resolver.claims import SourceSpec
from resolver.policy import Policy, RoundRobin

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from resolver.claims import Lease

Channel = TypeVar("Channel")

# By the channel itself, which is a stock one and has no place for it.
_LEASES: weakref.WeakKeyDictionary[Any, Lease] = weakref.WeakKeyDictionary()

# A target of ours names a resolver, not a host: an http_proxy variable must not send it elsewhere.
_DEFAULT_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_http_proxy", 0),
    # Core's back-off begins with a second and grows to two minutes; so long would a server that is back be without its
    # share where nobody checks its health, or where it falls ill just as core connects.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)

# What the health monitor's connections need as well, to be taken for the same client and to live as long.
_MONITOR_OPTIONS = ("grpc.ssl_target_name_override", "grpc.default_authority", "grpc.keepalive_")

# Core takes these from xDS alone. Silence would let a retry policy or a deadline go lost.
_WITHOUT_EFFECT = {
    "grpc.service_config": "a service config has no effect on a live target: use policy=…, and timeouts on each call",
    "grpc.lb_policy_name": "a live target takes its load-balancing policy from policy=…",
}

# Who turns it off has core count no calls.
_COUNTING = "grpc.enable_channelz"


def insecure_channel(
    target: str,
    *,
    policy: Policy = RoundRobin(),  # noqa: B008 -- an immutable value
    zone: str = "",
    health_check: bool | str = True,
    options: Sequence[tuple[str, Any]] | None = None,
    compression: grpc.Compression | None = None,
) -> grpc.Channel:
    """A stock `grpc.Channel` in plain text whose endpoints follow the target's registry and their health.

    Adding, removing or un-healthing an endpoint reaches the channel within milliseconds; connections that stay are
    kept, and no call is wrapped. The channel connects with its first call, as any does. While a target has no healthy
    endpoint, calls fail with UNAVAILABLE at once, or wait where they say `wait_for_ready`.

    Args:
        target: `dir:///folder`, `static:ip:port,ip:port`, or any scheme registered with `resolver.register`.
        policy: How calls spread over the endpoints.
        zone: Only endpoints of this zone get calls while one of them can take some; then all others do, until one can
            again. Whose records name no such zone prefers nobody.
        health_check: True follows `grpc.health.v1` for the server as a whole, a name for that service; False takes
            every endpoint as the registry tells it. An endpoint without a health service counts as healthy.
        options: Channel arguments as `grpc.insecure_channel` takes them; those for keepalive and for the name in a
            certificate hold for the health monitor too.
        compression: As `grpc.insecure_channel` takes it.

    Returns:
        A channel to be closed by its owner, with `close()` or `with`. With the last channel on a target its watch and
        its health streams end; with the last of all, the control plane's thread.

    Raises:
        TargetError: The target is malformed, or nobody resolves its scheme.
        ValueError: `options` hold a service config or a policy's name: core takes neither on a live target. Or the
            policy has a retry budget, and `options` keep core from counting calls.
        BootstrapError: The process opened an xDS channel of its own before, or its xDS bootstrap is unusable.
        ControlPlaneError: The control plane's private socket could not be opened.
    """
    return open_channel(
        lambda uri, arguments: grpc.insecure_channel(uri, arguments, compression),
        _is_closed,
        target,
        policy=policy,
        zone=zone,
        health_check=health_check,
        options=options,
    )


def secure_channel(
    target: str,
    credentials: grpc.ChannelCredentials,
    *,
    policy: Policy = RoundRobin(),  # noqa: B008 -- an immutable value
    zone: str = "",
    health_check: bool | str = True,
    options: Sequence[tuple[str, Any]] | None = None,
    compression: grpc.Compression | None = None,
) -> grpc.Channel:
    """The same as `insecure_channel`, over `credentials`, which the health monitor uses as well.

    A resolver target names no host, so say which name the servers' certificates carry:
    `options=[("grpc.ssl_target_name_override", "greeter.example")]`, or `grpc.default_authority`.
    """
    return open_channel(
        lambda uri, arguments: grpc.secure_channel(uri, credentials, arguments, compression),
        _is_closed,
        target,
        policy=policy,
        zone=zone,
        health_check=health_check,
        options=options,
        credentials=credentials,
    )


def open_channel(
    make: Callable[[str, Sequence[tuple[str, Any]]], Channel],
    is_closed: Callable[[Channel], bool],
    target: str,
    *,
    policy: Policy,
    zone: str,
    health_check: bool | str,
    options: Sequence[tuple[str, Any]] | None,
    credentials: grpc.ChannelCredentials | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Channel:
    """Lease the target, let `make` open the channel at its URI, and end the lease when the channel is closed or gone.

    What the public functions here and in aio.py have in common; see them for the arguments and errors.
    """
    _expect_policy(policy)
    arguments = list(options or ())
    given = {key for key, _ in arguments}
    for key in given & _WITHOUT_EFFECT.keys():
        raise ValueError(f"{key}: {_WITHOUT_EFFECT[key]}")
    is_counted = bool(dict(arguments).get(_COUNTING, 1))
    _expect_counted(policy, is_counted=is_counted)
    monitor = tuple((key, value) for key, value in arguments if key.startswith(_MONITOR_OPTIONS))
    spec = SourceSpec.of(target, health_check, credentials=credentials, options=monitor)
    # Channels of equal arguments share a service, and by it connections. What shares none has a service of its own.
    is_own = dict(arguments).get("grpc.use_local_subchannel_pool") == 1
    lease = runtime.lease(spec, policy, loop, is_own=is_own, zone=zone)
    life = _Life("1")
    arguments += [("lbdemo.life", life), *(option for option in _DEFAULT_OPTIONS if option[0] not in given)]
    try:
        channel = make(lease.uri, arguments)
    except BaseException:
        lease.release()
        raise
    # The channel stays a stock one, so nobody tells us when it is closed: its ADS stream ends then, and we look. And a
    # stub goes on with the channel inside it when the channel object is gone: that one keeps its arguments alive.
    channel_reference = weakref.ref(channel, lambda _: lease.review_soon())
    life_reference = weakref.ref(life, lambda _: lease.review_soon())

    def is_over() -> bool:
        channel = channel_reference()
        return life_reference() is None if channel is None else is_closed(channel)

    lease.is_over = is_over
    lease.is_counted = is_counted
    _LEASES[channel] = lease
    return channel


def switch_policy(channel: grpc.Channel | grpc.aio.Channel, policy: Policy, *, together: bool = False) -> None:
    """Put another policy in force on a living channel of ours; returns at once.

    It takes effect within milliseconds. No call is lost: each ends where it was picked. Connections are kept; further
    ones are opened where the policy needs them, as RingHash does.

    Channels opened with equal target, policy, health check and arguments are one to gRPC core: they share connections,
    and so the policy. While there are others, the switch is refused unless they may change as well.

    Args:
        channel: What `insecure_channel` or `secure_channel` returned, here or in `lb_client.aio`; not one wrapped by
            interceptors. From any thread.
        policy: How calls spread from now on.
        together: Whether the channels that share its connections change with it.

    Raises:
        TypeError: It is no channel of ours, or no policy.
        ValueError: The channel is closed, or the policy has a retry budget, and the channel's options keep core from
            counting calls.
        SharedPolicyError: Other channels share its policy, and `together` is not set. A channel opened with
            `options=[("grpc.use_local_subchannel_pool", 1)]` shares neither.
    """
    _expect_policy(policy)
    lease = _LEASES.get(channel)
    if lease is None:
        raise TypeError(f"switch_policy needs a channel as lb_client returned it, not {channel!r}")
    _expect_counted(policy, is_counted=lease.is_counted)
    runtime.switch(lease, policy, together=together)


def _expect_policy(policy: object) -> None:
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be one of lb_client.policy, such as RoundRobin(), not {policy!r}")


def _expect_counted(policy: Policy, *, is_counted: bool) -> None:
    if not is_counted and policy.retry is not None and policy.retry.budget is not None:
        raise ValueError(f"{_COUNTING}=0: a retry budget needs what channelz counts; leave it on, or the budget away")


class _Life(str):
    """A channel argument that can be referred to weakly.

    Its text is always the same, because core shares connections between channels of equal arguments.
    """

    __slots__ = ("__weakref__",)


def _is_closed(channel: grpc.Channel) -> bool:
    try:
        # Private, and the only way to ask: the public `subscribe` starts a thread that polls. False: do not connect.
        channel._channel.check_connectivity_state(False)  # type: ignore[attr-defined]  # noqa: SLF001
    except ValueError:
        return True
    return False
