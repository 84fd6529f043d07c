"""How often a stream is opened again, and how soon. No gRPC call is made."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest

from lb_client.moving import Move, StreamLostError, Tries


def ended(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, **trailing: str) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*((key.replace("_", "-"), value) for key, value in trailing.items()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(("lbdemo-address", "h:1")), metadata, "why")


LOST = Move("lost", "", "", grpc.StatusCode.UNAVAILABLE, "why", 3)


def test_move_names_whom_it_left_by_either_metadata() -> None:
    move = Move.after(ended(lbdemo_move="drain", lbdemo_replica="r1"), 2)
    assert move == Move("drain", "r1", "h:1", grpc.StatusCode.UNAVAILABLE, "why", 2)
    assert Move.after(ended(grpc.StatusCode.ABORTED), 2) is None


def test_first_try_is_at_once_and_later_ones_wait_longer_up_to_a_second() -> None:
    tries = Tries(100, clock=lambda: 0.0)
    waits = [tries.next_s(ended(), LOST) for _ in range(12)]
    assert waits[0] == 0.0
    assert all(0.8 * 0.01 * 2**n <= wait <= 0.01 * 2**n for n, wait in enumerate(waits[1:7]))
    assert max(waits) <= 1.0
    assert min(waits[-3:]) >= 0.8


def test_it_is_given_up_after_the_last_try_with_the_status_in_the_error() -> None:
    tries = Tries(3, clock=lambda: 0.0)
    tries.next_s(ended(), LOST)
    tries.next_s(ended(), LOST)
    with pytest.raises(StreamLostError, match="opened 3 times in a row without an answer, the last time: why") as error:
        tries.next_s(ended(), LOST)
    assert (error.value.code(), error.value.tries, error.value.unacknowledged) == (grpc.StatusCode.UNAVAILABLE, 3, 3)


@pytest.mark.parametrize("by_answer", [True, False])
def test_an_answer_or_a_second_of_life_begins_a_new_count(by_answer: bool) -> None:
    now = [0.0]
    tries = Tries(3, clock=lambda: now[0])
    for _ in range(5):
        tries.opened()
        if by_answer:
            tries.answered()
        else:
            now[0] += 1.0
        assert tries.next_s(ended(), LOST) == 0.0
        tries.opened()
        assert tries.next_s(ended(), LOST) > 0.0


def test_end_that_is_no_move_is_raised_as_it_is() -> None:
    error = ended(grpc.StatusCode.ABORTED)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        Tries(3).next_s(error, None)
    assert raised.value is error
