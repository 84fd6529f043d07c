"""The command's root: which subcommands there are, and how an exception becomes one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from lb_client._version import __version__
from lb_client.cli.common import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

# name -> (module, one line of help). The line stands here so that `lbdemo --help` imports no subcommand.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("lb_client.cli.up", "Start replicas in the background, or scale those that run."),
    "down": ("lb_client.cli.down", "Drain and stop every replica."),
    "status": ("lb_client.cli.status", "Show the replicas and their health."),
    "scale": ("lb_client.cli.scale", "Change the number of replicas."),
    "call": ("lb_client.cli.call", "Send calls and report how they spread."),
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
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        """The list of subcommands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(
    cls=LazyGroup,
    context_settings={"auto_envvar_prefix": "LBDEMO", "help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with: lbdemo up --replicas 3 && lbdemo call --count 100 && lbdemo down",
)
@click.version_option(__version__, prog_name="lbdemo")
def root() -> None:
    """Client-side load balancing for gRPC, to start, to watch and to break."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; never returns.

    Exit codes: 0 all well, 1 a call or an action failed, 2 usage, 130 interrupted by Ctrl-C.
    """
    kwargs: dict[str, Any] = {"args": args, "prog_name": "lbdemo", "standalone_mode": False}
    try:
        code = root.main(**kwargs)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Failure as failure:
        click.echo(f"lbdemo: {failure}", err=True)
        code = failure.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("lbdemo: interrupted", err=True)
        code = 130
    except BrokenPipeError:
        # The reader of a pipe went away (`lbdemo call --json | head`): nothing to say to anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
