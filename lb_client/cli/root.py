"""The command's root: which subcommands there are, and how an exception becomes one line and an exit code."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from lb_client._version import __version__
from lb_client.cli import interrupts, standard_streams
from lb_client.cli.common import Failure, expect_room_for_files

if TYPE_CHECKING:
    from collections.abc import Sequence

# name -> (module, one line of help). The line stands here so that `lbdemo --help` imports no subcommand.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("lb_client.cli.up", "Start replicas in the background, or scale those that run."),
    "down": ("lb_client.cli.down", "Drain and stop every replica."),
    "status": ("lb_client.cli.status", "Show the replicas and their health."),
    "scale": ("lb_client.cli.scale", "Change the number of replicas."),
    "drain": ("lb_client.cli.drain", "Take replicas out of service, losing no call."),
    "kill": ("lb_client.cli.kill", "End replicas by SIGKILL."),
    "pause": ("lb_client.cli.pause", "Freeze replicas: they accept, and never answer."),
    "resume": ("lb_client.cli.resume", "Let frozen replicas go on."),
    "health": ("lb_client.cli.health", "Have replicas report another health."),
    "fault": ("lb_client.cli.fault", "Have replicas answer late, or with errors."),
    "load": ("lb_client.cli.load", "Have replicas report another load."),
    "restart": ("lb_client.cli.restart", "Drain replicas and start them again."),
    "call": ("lb_client.cli.call", "Send calls and report how they spread."),
    "stream": ("lb_client.cli.stream", "Hold conversations on streams, and show their messages."),
    "rebalance": ("lb_client.cli.rebalance", "Ask long streams to spread again."),
    "chat": ("lb_client.cli.chat", "Talk in a room that lives on one replica, and moves with it."),
    "proxy": ("lb_client.cli.proxy", "Run a real Envoy in front of the replicas."),
    "compare": ("lb_client.cli.compare", "Compare client-side and proxy load balancing, in one table."),
    "run": ("lb_client.cli.run", "Play a scenario: calls, faults at times, and what is expected."),
    "events": ("lb_client.cli.events", "Print what happened to the cluster."),
    "logs": ("lb_client.cli.logs", "Print what the replicas wrote."),
    "serve": ("lb_client.cli.serve", "Run one replica in the foreground."),
    "completion": ("lb_client.cli.completion", "Print the shell's completion script."),
}


class LazyGroup(click.Group):
    """A group that imports a subcommand's module when that subcommand is run, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """All names, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        """The subcommand `command` of the module behind the name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        for option in command.params:
            if isinstance(option, click.Option):
                _name_variable(cmd_name, option)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand of the first word, or an error that names the nearest one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415 -- only for who mistyped

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; Ctrl-C ends it with a line of ours. That of click is an empty one."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            # click forgets whose option it was that came without its value.
            name = ctx.invoked_subcommand
            if error.ctx is None and name and (command := self.get_command(ctx, name)):
                error.ctx = click.Context(command, parent=ctx, info_name=name)
            raise
        except KeyboardInterrupt:
            interrupts.pass_over()
            raise Failure(interrupts.WORD, exit_code=interrupts.CODE) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        """The list of subcommands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _name_variable(command: str, option: click.Option) -> None:
    """Let LBDEMO_<COMMAND>_<OPTION> give the option, by the name that users know: click would take the parameter's."""
    name = max(option.opts, key=len).lstrip("-")
    own = f"LBDEMO_{command}_{name}".upper().replace("-", "_")
    given = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    option.envvar = [own, *(other for other in given if other != own)]


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with: lbdemo up --replicas 3 && lbdemo call --count 100 && lbdemo down",
)
@click.version_option(__version__, prog_name="lbdemo")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Client-side load balancing for gRPC, to start, to watch and to break."""
    # The subcommand is imported, and about to begin.
    if ctx.invoked_subcommand != "completion":
        expect_room_for_files()
    interrupts.unwind()


def run(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `lb_client.cli.main` for what they mean."""
    standard_streams.open_missing()
    kwargs: dict[str, Any] = {"args": args, "prog_name": "lbdemo", "standalone_mode": False}
    try:
        code = root.main(**kwargs)
    except click.exceptions.NoArgsIsHelpError as error:
        standard_streams.complain(error.format_message())
        code = error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "lbdemo"
        standard_streams.complain(f"{command}: {_one_line(error.format_message())} (see {command} --help)")
        code = error.exit_code
    except click.ClickException as error:
        standard_streams.complain(f"lbdemo: {_one_line(error.format_message())}")
        code = error.exit_code
    except Failure as failure:
        interrupts.break_line(failure.exit_code)
        standard_streams.complain(f"lbdemo: {failure}")
        code = failure.exit_code
    except (click.Abort, KeyboardInterrupt):
        interrupts.pass_over()
        standard_streams.complain(f"lbdemo: {interrupts.WORD}")
        code = interrupts.CODE
    except OSError as error:
        code = standard_streams.give_up(error)
    return code if isinstance(code, int) else 0


def _one_line(message: str) -> str:
    return " ".join(message.split()).removesuffix(".")
