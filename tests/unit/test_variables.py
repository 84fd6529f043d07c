"""Every option of every command can be given by a variable: LBDEMO_<COMMAND>_<OPTION>, by the option's own name."""

from __future__ import annotations

import click
import pytest
from click.core import ParameterSource

from lb_client.cli.root import COMMANDS, root, run

ARGUMENTS = {
    "scale": ["2"],
    "completion": ["bash"],
    **{name: ["r1"] for name in ("drain", "kill", "pause", "resume", "fault")},
}
# What an option takes, where it is not plain text or a number.
VALUES = {
    "cluster": "blue",
    "data": "{}",
    "jitter": "20ms",
    "latency": "50ms",
    "meta": "zone=a",
    "metadata": "key=value",
    "outlier-detection": "interval=2s",
    "retry": "3",
    "mode": "collect",
    "policy": "pick_first",
    "registry": "/run",
    "service": "package.module:function",
    "via": "proxy",
}


def command_of(name: str) -> click.Command:
    found = root.get_command(click.Context(root), name)
    assert isinstance(found, click.Command)
    return found


OPTIONS = [
    (name, option)
    for name in COMMANDS
    for option in command_of(name).params
    if isinstance(option, click.Option) and option.name != "help"
]


def real_name(option: click.Option) -> str:
    return next(text for text in option.opts if text.startswith("--")).removeprefix("--")


def source_of(option: click.Option, name: str) -> ParameterSource | None:
    """Where a command without options finds the value of one."""
    context = command_of(name).make_context(name, list(ARGUMENTS.get(name, [])))
    return context.get_parameter_source(str(option.name))


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda v: v if isinstance(v, str) else real_name(v))
def test_option_can_be_given_by_its_variable(name: str, option: click.Option, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_of(option, name) is ParameterSource.DEFAULT
    variable = f"LBDEMO_{name}_{real_name(option)}".upper().replace("-", "_")
    monkeypatch.setenv(variable, VALUES.get(real_name(option), "1"))
    assert source_of(option, name) is ParameterSource.ENVIRONMENT, variable


def test_there_are_options() -> None:
    assert {name for name, _ in OPTIONS} == set(COMMANDS) - {"completion"}
    assert ("call", "json") in {(name, real_name(option)) for name, option in OPTIONS}


def test_variable_of_one_command_goes_before_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBDEMO_CLUSTER", "blue")
    assert command_of("call").make_context("call", []).params["cluster"] == "blue"
    monkeypatch.setenv("LBDEMO_CALL_CLUSTER", "green")
    assert command_of("call").make_context("call", []).params["cluster"] == "green"
    assert command_of("status").make_context("status", []).params["cluster"] == "blue"


def test_what_is_no_option_of_a_command_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's LBDEMO_VERSION, say, must not make every command print the version."""
    monkeypatch.setenv("LBDEMO_VERSION", "1")
    monkeypatch.setenv("LBDEMO_HELP", "1")
    with root.make_context("lbdemo", ["status"]) as context:
        assert context.params == {}


def test_option_without_its_value_is_told_with_the_command_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fault", "r1", "--error"]) == 2
    line = "lbdemo fault: Option '--error' requires an argument (see lbdemo fault --help)"
    assert capsys.readouterr().err.splitlines() == [line]
