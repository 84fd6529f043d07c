"""The options of `lbdemo call` about policies: what they become, and how what makes no sense is told."""

from __future__ import annotations

from typing import Any

import click
import pytest

from lb_client.cli.policy_options import as_requested, policy_of, policy_options
from lb_client.policy import (
    FailurePercentage,
    OutlierDetection,
    PickFirst,
    Policy,
    Retry,
    RetryBudget,
    RingHash,
    RoundRobin,
    SuccessRate,
    WeightedRoundRobin,
)


def read(*args: str) -> Policy:
    """What the options say, as the command would have it."""
    found: list[Policy] = []

    @click.command()
    @policy_options
    def command(*, policy: str, **options: Any) -> None:
        found.append(policy_of(policy, **options))

    command.main(list(args), standalone_mode=False)
    return found[0]


def test_nothing_said_is_round_robin() -> None:
    assert read() == RoundRobin()
    assert as_requested(RoundRobin()) == {"hash_header": None, "retry": None, "outlier_detection": None}


def test_each_policy_by_its_name() -> None:
    assert read("--policy", "pick-first") == PickFirst()
    assert read("--policy", "ring_hash", "--hash-header", "user") == RingHash("user")
    assert read("--policy", "weighted_round_robin") == WeightedRoundRobin(
        blackout_period_s=0, weight_update_period_s=0.1
    )


def test_retry_with_codes_back_off_and_budget() -> None:
    assert read("--retry", "3").retry == Retry(attempts=3)
    found = read("--retry", "4:unavailable,RESOURCE-EXHAUSTED", "--retry-backoff", "10ms,1s", "--retry-budget", "20%")
    assert found.retry == Retry(
        attempts=4,
        codes=("UNAVAILABLE", "RESOURCE_EXHAUSTED"),
        base_interval_s=0.01,
        max_interval_s=1.0,
        budget=RetryBudget(percent=20),
    )
    assert read("--retry", "2", "--retry-backoff", "10ms").retry == Retry(
        attempts=2, base_interval_s=0.01, max_interval_s=0.1
    )


def test_outlier_detection_alone_is_for_a_lab_and_each_figure_can_be_said() -> None:
    hosts = {"minimum_hosts": 2, "request_volume": 10}
    assert read("--outlier-detection").outlier_detection == OutlierDetection(
        interval_s=1,
        base_ejection_time_s=5,
        max_ejection_time_s=60,
        max_ejection_percent=50,
        success_rate=None,
        failure_percentage=FailurePercentage(threshold=30, **hosts),
    )
    said = "interval=2s,base-ejection-time=2m,success-rate=1200,request-volume=50,max-ejection=10%,enforcement=90"
    assert read("--outlier-detection", said).outlier_detection == OutlierDetection(
        interval_s=2,
        base_ejection_time_s=120,
        max_ejection_time_s=120,
        max_ejection_percent=10,
        success_rate=SuccessRate(stdev_factor=1200, minimum_hosts=2, request_volume=50, enforcement_percentage=90),
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--policy", "least_request"), "there is no least_request: gRPC core has none"),
        (("--policy", "least-requests"), "there is no least_request"),
        (("--policy", "hedging"), "gRPC core reads a hedging policy and does not follow it"),
        (("--policy", "random_subsetting"), "there is no random_subsetting"),
        (("--policy", "round-robbin"), "did you mean round_robin"),
        (("--policy", "nonsense"), "there are round_robin, pick_first"),
        (("--policy", "ring_hash"), "needs --hash-header"),
        (("--hash-header", "x"), "--hash-header is for --policy ring_hash"),
        (("--policy", "ring_hash", "--hash-header", "User"), "lower case"),
        (("--retry", "1"), "2 to 5, the first included"),
        (("--retry", "three"), "'three' are no attempts"),
        (("--retry", "3:UNAVAILBLE"), "did you mean UNAVAILABLE"),
        (("--retry", "3:NOT_FOUND"), "xDS can name CANCELLED"),
        (("--retry", "3", "--retry-backoff", "1ms"), "at least 0.002 s"),
        (("--retry-budget", "20"), "go with --retry"),
        (("--retry", "3", "--retry-budget", "120"), "write 0 to 100"),
        (("--outlier-detection", "intervall=1s"), "did you mean interval"),
        (("--outlier-detection", "interval"), "interval needs a value: interval=1s"),
        (("--outlier-detection", "interval=soon"), "no length of time"),
        (("--outlier-detection", "interval=1s,interval=2s"), "interval is given twice"),
        (("--outlier-detection", "success-rate=1.9"), "no whole number"),
        (("--outlier-detection", "max-ejection=150"), "write 0 to 100"),
        (("--policy", "pick_first", "--outlier-detection"), "under pick_first gRPC core ejects nothing"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(args: tuple[str, ...], says: str) -> None:
    with pytest.raises(click.UsageError, match=says.replace("(", "\\(")):
        read(*args)
