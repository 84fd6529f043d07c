"""`lbdemo completion`: the script that teaches a shell to complete this command."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from lb_client.cli.common import Failure

_INSTALL = {
    "bash": "echo 'eval \"$(lbdemo completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(lbdemo completion zsh)\"' >> ~/.zshrc",
    "fish": "lbdemo completion fish > ~/.config/fish/completions/lbdemo.fish",
}


@click.command(
    short_help="Print the shell's completion script.",
    epilog="\b\n" + "\n".join(f"{shell}: {line}" for shell, line in _INSTALL.items()),
)
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete this command, its subcommands and their options."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"this version of click has no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "lbdemo", "_LBDEMO_COMPLETE").source())
