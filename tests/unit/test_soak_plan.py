import itertools

from tests.soak.held import growth_mb
from tests.soak.plan import GAP_S, drawn


def test_the_same_seed_draws_the_same_faults_and_another_one_others() -> None:
    assert drawn(7, 600) == drawn(7, 600)
    assert drawn(7, 600) != drawn(8, 600)


def test_ten_minutes_have_every_kind_of_fault_in_order_and_within_their_gaps() -> None:
    faults = drawn(1, 600)
    assert len({fault.kind for fault in faults}) == 12
    moments = [0.0, *(fault.at_s for fault in faults)]
    assert moments[-1] < 600
    assert all(GAP_S[0] <= b - a <= GAP_S[1] + 0.001 for a, b in itertools.pairwise(moments))


def test_growth_is_that_of_the_last_third_over_the_middle_one() -> None:
    assert growth_mb([10, 11, 50, 50, 51, 50, 50, 50, 51]) == 0
    assert growth_mb([*[10.0] * 3, *[50.0] * 3, *[60.0] * 3]) == 10
    assert growth_mb([1.0]) == 0
