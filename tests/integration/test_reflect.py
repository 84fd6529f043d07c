from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest

from lb_client.reflect import BadRequestError, NoReflectionError, NotUnaryError, Reflection, UnknownMethodError
from protos import helloworld_pb2
from tests.support.greeters import greeters, options


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_method_is_found_in_either_version_of_reflection(version: str) -> None:
    async with (
        greeters(1, reflects=version) as servers,
        grpc.aio.insecure_channel(servers[0].address, options()) as channel,
    ):
        reflection = Reflection(channel)
        method = await reflection.method("helloworld.Greeter/SayHello")
        assert "helloworld.Greeter" in await reflection.services()
    assert method.path == "/helloworld.Greeter/SayHello"
    request = method.encode('{"name": "Ada"}')
    assert helloworld_pb2.HelloRequest.FromString(request).name == "Ada"
    answer = helloworld_pb2.HelloReply(message="Hello, Ada!").SerializeToString()
    assert method.decode(answer) == {"message": "Hello, Ada!"}


async def test_status_that_was_lost_on_the_way_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """grpc.aio loses one in some hundreds on a loaded machine, where a server has no such method."""
    nothing = grpc.aio.Metadata()
    losses = [grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, nothing, nothing, "Internal error from Core")] * 2
    converse = Reflection._converse

    async def lossy(self: Reflection, path: str, questions: Any) -> Any:
        if losses:
            raise losses.pop()
        return await converse(self, path, questions)

    monkeypatch.setattr(Reflection, "_converse", lossy)
    async with (
        greeters(1, reflects="v1alpha") as servers,
        grpc.aio.insecure_channel(servers[0].address, options()) as channel,
    ):
        assert (await Reflection(channel).method("helloworld.Greeter/SayHello")).path == "/helloworld.Greeter/SayHello"
    assert not losses


@pytest.mark.parametrize("name", ["/helloworld.Greeter/SayHello", "helloworld.Greeter.SayHello"])
async def test_other_ways_to_write_a_method_will_do(name: str) -> None:
    async with (
        greeters(1, reflects="v1") as servers,
        grpc.aio.insecure_channel(servers[0].address, options()) as channel,
    ):
        assert (await Reflection(channel).method(name)).path == "/helloworld.Greeter/SayHello"


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("nope.Nope/Nope", UnknownMethodError, "no service 'nope.Nope' here; the services are: helloworld.Greeter"),
        ("helloworld.Greeter/Nope", UnknownMethodError, "no method 'Nope'; it has SayHello, SayHelloStreamReply"),
        ("helloworld.Greeter", UnknownMethodError, "is a service: name one of its methods, SayHello"),
        ("", UnknownMethodError, "no service '' here"),
        ("///", UnknownMethodError, "the services are: helloworld.Greeter"),
        ("helloworld.HelloRequest/x", UnknownMethodError, "no service 'helloworld.HelloRequest' here"),
        ("helloworld.Greeter/SayHelloStreamReply", NotUnaryError, "streams its answers"),
        ("helloworld.Greeter/SayHelloBidiStream", NotUnaryError, "streams requests and answers"),
    ],
)
async def test_what_cannot_be_called_is_told_with_what_can(name: str, error: type[Exception], text: str) -> None:
    async with (
        greeters(1, reflects="v1") as servers,
        grpc.aio.insecure_channel(servers[0].address, options()) as channel,
    ):
        with pytest.raises(error) as caught:
            await Reflection(channel).method(name)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('{"name": "x"', "no JSON: Expecting ',' delimiter, at line 1, column 13"),
        ("", "no JSON"),
        ('{"nam": "x"}', 'has name: Message type "helloworld.HelloRequest" has no field named "nam"'),
        ('{"name": 7}', "name"),
        ("[1]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('"x"', "must be a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"name": "a", "name": "b"}', "name"),
    ],
)
async def test_data_that_does_not_fit_is_told_where(data: str, text: str) -> None:
    async with (
        greeters(1, reflects="v1") as servers,
        grpc.aio.insecure_channel(servers[0].address, options()) as channel,
    ):
        method = await Reflection(channel).method("helloworld.Greeter/SayHello")
    with pytest.raises(BadRequestError) as caught:
        method.encode(data)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_server_without_reflection_is_told_what_to_do() -> None:
    async with greeters(1) as servers, grpc.aio.insecure_channel(servers[0].address, options()) as channel:
        with pytest.raises(NoReflectionError, match=r"does not offer reflection.*have it serve reflection"):
            await Reflection(channel).method("helloworld.Greeter/SayHello")


async def test_nobody_there_is_told_as_such() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1", options()) as channel:
        with pytest.raises(NoReflectionError, match="UNAVAILABLE"):
            await Reflection(channel).services()


async def test_unary_methods_of_all_services_can_be_listed() -> None:
    async with (
        greeters(1, reflects="v1") as servers,
        grpc.aio.insecure_channel(servers[0].address, options()) as channel,
    ):
        assert await Reflection(channel).methods() == ("helloworld.Greeter/SayHello",)
