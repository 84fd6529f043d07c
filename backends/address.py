"""Addresses: what to bind, what to announce, why a port could not be had. Literal ones, since xDS takes no names."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import re
import socket
from typing import TYPE_CHECKING

from backends.errors import CannotStart

if TYPE_CHECKING:
    import grpc.aio

_log = logging.getLogger(__name__)

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(.*))?")


def advertised(advertise: str, bound_port: int) -> str:
    """`host:port` (IPv6 in brackets) for what was asked to be advertised, a host with or without a port.

    Raises:
        CannotStart: It is neither.
    """
    host, port = advertise, str(bound_port)
    if bracketed := _BRACKETED.fullmatch(advertise):
        host, port = bracketed[1], port if bracketed[2] is None else bracketed[2]
    elif advertise.count(":") == 1:
        host, _, port = advertise.partition(":")
    good_port = port.isascii() and port.isdigit() and 1 <= int(port) <= 65535
    literal = _as_literal(host)
    if not good_port or not (literal or (_HOST.fullmatch(host) and not bracketed)):
        raise CannotStart(
            f"cannot advertise {advertise!r}: use host or host:port (IPv6 as [host]:port), port 1 to 65535"
        )
    if literal and ipaddress.ip_address(literal).is_unspecified:
        raise CannotStart(f"cannot advertise {advertise!r}: nobody can connect to it, name an address of this machine")
    return join(host, int(port))


def join(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str) -> str:
    """The literal address under which others reach a server that is bound to `host`, a literal too.

    Bound to every interface, it is the address that traffic to the outside would leave from. Sends nothing.
    """
    if not ipaddress.ip_address(host).is_unspecified:
        return host
    if ":" in host and (found := _source(socket.AF_INET6, "2001:db8::1")):
        return found
    if found := _source(socket.AF_INET, "192.0.2.1"):
        return found
    # No route out, as on an internal container network: what the host's own name says.
    with contextlib.suppress(OSError):
        for _, _, _, _, address in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM):
            own = ipaddress.ip_address(str(address[0]).partition("%")[0])
            if not (own.is_loopback or own.is_link_local):
                return str(own)
    _log.warning("found no address of this machine that others can reach; announcing loopback")
    return "::1" if ":" in host else "127.0.0.1"


def _source(family: socket.AddressFamily, documentation_address: str) -> str | None:
    """The source address for a destination: connecting a datagram socket asks the routing table and sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((documentation_address, 9))
            found = str(probe.getsockname()[0])
    except OSError:
        return None
    return None if ipaddress.ip_address(found.partition("%")[0]).is_link_local else found


def _as_literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


async def literal(host: str) -> str:
    """The address to bind, as numbers: it is also what gets announced, and xDS takes no names."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host))
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CannotStart(f"cannot bind {host!r}: {error}; give --host an address of this machine") from error
    return min((str(address[0]) for *_, address in found), key=lambda literal: ":" in literal)


def expect_free(host: str, port: int) -> None:
    """Whether a literal address could be bound now. gRPC would say no more than "failed", and write that to stderr too.

    Raises:
        CannotStart: It cannot be had; the message says why and what to do.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As gRPC binds: a connection that lingers from a former server on this port is no obstacle, a listener is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "another process has this port; choose another --port, or 0 for any free one",
            errno.EACCES: "this port needs privileges; choose one above 1023, or 0 for any free one",
            errno.EADDRNOTAVAIL: "no interface of this machine has this address; choose another --host",
        }
        why = advice.get(error.errno or 0, f"{error.strerror}; choose another --host or --port")
        raise CannotStart(f"cannot bind {join(host, port)}: {why}") from error


def bind(server: grpc.aio.Server, host: str, port: int) -> int:
    """Bind `server` to a literal address; returns the port, a free one for 0.

    Raises:
        CannotStart: It was taken since `expect_free`, or gRPC refuses it.
    """
    try:
        return server.add_insecure_port(join(host, port))
    except RuntimeError as error:
        raise CannotStart(f"cannot bind {join(host, port)}; choose another --port, or 0 for any free one") from error
