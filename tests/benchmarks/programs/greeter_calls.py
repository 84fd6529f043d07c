"""The bare script to compare `lbdemo call` with: `TARGET COUNT`, one call after the other. Nothing of ours."""

from __future__ import annotations

import sys

import grpc

from protos import helloworld_pb2, helloworld_pb2_grpc

ROUND_ROBIN = '{"loadBalancingConfig": [{"round_robin": {}}]}'


def run(target: str, count: int) -> None:
    with grpc.insecure_channel(target, options=[("grpc.service_config", ROUND_ROBIN)]) as channel:
        stub = helloworld_pb2_grpc.GreeterStub(channel)
        for _ in range(count):
            response = stub.SayHello(helloworld_pb2.HelloRequest(name="world"))
    print("Greeter client received: " + response.message)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
