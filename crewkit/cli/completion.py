"""`crewkit completion`: what a shell needs to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from crewkit.cli.common import examples


@click.command(
    epilog=examples(
        "crewkit completion bash > ~/.local/share/bash-completion/completions/crewkit",
        "crewkit completion zsh > ~/.zfunc/_crewkit",
        "crewkit completion fish > ~/.config/fish/completions/crewkit.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options and the ids of runs.
    """
    from crewkit.cli.group import crewkit

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(crewkit, {}, "crewkit", "_CREWKIT_COMPLETE").source())
