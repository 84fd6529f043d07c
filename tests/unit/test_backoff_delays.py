from __future__ import annotations

import random

from resolver.backoff import Backoff


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 -- jitter is no secret


def test_delays_double_up_to_the_cap_and_begin_again_after_a_success() -> None:
    backoff = Backoff(first_s=0.1, cap_s=1.0, jitter=seeded(1))
    delays = [backoff.next_s() for _ in range(8)]
    for delay, full in zip(delays, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0], strict=True):
        assert 0.8 * full <= delay <= full
    backoff.reset()
    assert backoff.next_s() <= 0.1


def test_two_watchers_do_not_wait_in_step() -> None:
    one, other = Backoff(jitter=seeded(1)), Backoff(jitter=seeded(2))
    assert one.next_s() != other.next_s()
