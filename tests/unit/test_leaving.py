from backends.leaving import PATIENCE_S, PROVEN_S, QUIET_S, TICK_S, Leaving

TICKS = round(QUIET_S / TICK_S)


def _ends_after(leaving: Leaving, calls: list[int], *, leave_at_s: float = 1e9) -> float | None:
    """The seconds after which it is over, when so many calls have come by each tick; None while it is not."""
    for number, count in enumerate(calls, start=1):
        at_s = round(number * TICK_S, 3)
        if leaving.over(at_s, count, connected=at_s < leave_at_s):
            return at_s
    return None


def test_when_every_caller_has_left_it_is_over_with_the_linger() -> None:
    assert _ends_after(Leaving(0.0, PATIENCE_S, calls=7), [7] * 100, leave_at_s=0.1) == 0.1
    assert _ends_after(Leaving(0.3, PATIENCE_S, calls=7), [7] * 100, leave_at_s=0.1) == 0.3
    # Calls that came since the last look were on a connection that is closed by now: that is quite new.
    assert _ends_after(Leaving(0.0, PATIENCE_S, calls=7), [8] * 9, leave_at_s=0.0) == PROVEN_S + TICK_S


def test_while_they_are_connected_it_is_over_when_it_was_quiet_and_the_linger_has_passed() -> None:
    assert _ends_after(Leaving(0.0, PATIENCE_S, calls=7), [7] * 100) == QUIET_S
    assert _ends_after(Leaving(1.0, PATIENCE_S, calls=7), [7] * 100) == 1.0


def test_the_quiet_begins_with_the_last_call() -> None:
    assert _ends_after(Leaving(0.0, PATIENCE_S, calls=0), [1, 2, 3, *[3] * 100]) == round(3 * TICK_S + QUIET_S, 3)
    # A call that came early in the linger costs nothing.
    assert _ends_after(Leaving(1.0, PATIENCE_S, calls=0), [1, 2, 3, *[3] * 100]) == 1.0


def test_calls_that_do_not_end_are_waited_for_with_patience_and_no_more() -> None:
    assert _ends_after(Leaving(0.1, 0.5, calls=0), list(range(1, 100))) == 0.6
    assert _ends_after(Leaving(0.1, 0.0, calls=0), list(range(1, 100))) == 0.1


def test_one_look_after_a_second_in_which_the_loop_was_stuck_is_no_quiet_second() -> None:
    leaving = Leaving(0.0, 5.0, calls=3)
    assert not leaving.over(1.0, 3, connected=True)
    assert not leaving.over(1.0 + TICK_S, 40, connected=True)
    assert _ends_after(Leaving(0.0, 5.0, calls=40), [40] * TICKS) == QUIET_S
