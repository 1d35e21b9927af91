"""The root command: which commands there are, what ``lit-studio`` alone means, and how errors become exit statuses.

It must not know what a command does; each lives in a module of its own, which is imported when the command runs.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lit_studio.base.errors import (
    InvalidTypeError,
    InvalidValueError,
    KernelNotFoundError,
    RunNotFoundError,
    StudioError,
)
from lit_studio.cli import terminal

DONE, FAILED, USAGE, NOT_FOUND, REFUSED, TRY_AGAIN, INTERRUPTED = 0, 1, 2, 3, 4, 75, 130
"""What an exit status means, the same for every command."""

_OWN_OPTIONS = ("--help", "-h", "--version", "--install-completion", "--show-completion")


class StudioGroup(TyperGroup):
    """``lit-studio [FOLDER] …`` means ``lit-studio lab [FOLDER] …``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``lab`` first where no command is named."""
        if not ctx.resilient_parsing and (not args or args[0] not in (*self.commands, *_OWN_OPTIONS)):
            args = ["lab", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=StudioGroup,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="[bold]Examples[/bold]\n\n"
    "lit-studio · opens JupyterLab in this folder\n\n"
    "lit-studio run notebook.ipynb · runs a notebook here and shows how its training goes\n\n"
    "lit-studio runs list · what has been trained\n\n"
    "lit-studio kernels logs train.ipynb -f · what a kernel prints, also with no server and no page\n\n"
    "lit-studio doctor · what is here, what is missing, and the line that mends it",
)
runs_app = typer.Typer(no_args_is_help=True, help="List and show what has been trained.")
app.add_typer(runs_app, name="runs")
kernels_app = typer.Typer(no_args_is_help=True, help="See, follow, use and end kernels, with a server or without one.")
app.add_typer(kernels_app, name="kernels")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"lit-studio {distribution_version('lit-studio')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train in notebooks, live. Without a command: open JupyterLab in this folder."""


@app.command(epilog="Example: lit-studio lab notebooks --open guide/01-quickstart.ipynb --port 8900")
def lab(
    folder: Annotated[Path, typer.Argument(help="The folder to work in.", show_default="this one")] = Path(),
    open_: Annotated[Path | None, typer.Option("--open", help="A file in FOLDER to open.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; default: the first free one from 8888 on.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
) -> None:
    """Open JupyterLab in a folder; it listens on this machine only."""
    from lit_studio.cli import lab as room

    room.open_lab(folder, open_, port, browser, commands=_names())


@app.command(epilog="Example: lit-studio run guide/01-quickstart.ipynb --output build/quickstart.ipynb")
def run(
    program: Annotated[Path, typer.Argument(metavar="NOTEBOOK_OR_PY", help="A notebook (.ipynb) or a script (.py).")],
    output: Annotated[
        Path | None,
        typer.Option(help="Where the executed notebook goes; default: NAME.executed.ipynb beside the notebook."),
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Stop after this many seconds.")] = None,
    kernel: Annotated[
        str | None, typer.Option(help="Kernel to use instead of the one that the notebook names.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a notebook or a script here, show how its training goes, and end with its numbers."""
    if program.suffix == ".py":
        from lit_studio.cli.script import run_script

        if output is not None or kernel is not None:
            raise InvalidValueError("A script has no executed notebook and no kernel", valid="no --output or --kernel")
        raise typer.Exit(run_script(program, timeout, as_json))
    from lit_studio.cli.notebook import run_notebook

    raise typer.Exit(run_notebook(program, output, timeout, kernel, as_json))


@runs_app.command("list", epilog="Example: lit-studio runs list --limit 5")
def runs_list(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """List recorded runs, newest first."""
    from lit_studio.cli.runs import list_recorded

    list_recorded(None if every else limit, as_json)


@runs_app.command("show", epilog="Example: lit-studio runs show lightning_logs/version_3")
def runs_show(
    run: Annotated[str, typer.Argument(help="The beginning of its id, its directory, or @last.")] = "@last",
    as_json: AsJson = False,
) -> None:
    """Show one run: where it stands, its numbers, what happened."""
    from lit_studio.cli.runs import show_recorded

    show_recorded(run, as_json)


Which = Annotated[str, typer.Argument(metavar="KERNEL", help="The beginning of its id, or of its notebook's name.")]


@kernels_app.command("list", epilog="Example: lit-studio kernels list --json")
def kernels_list(
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List kernels, the newest first."""
    from lit_studio.cli.kernels import list_kernels

    list_kernels(every, as_json)


@kernels_app.command("attach", epilog="Example: lit-studio kernels attach train.ipynb")
def kernels_attach(kernel: Which) -> None:
    """Open a console on a kernel that runs; leaving it leaves the kernel running."""
    from lit_studio.cli.kernels import attach

    raise typer.Exit(attach(kernel))


@kernels_app.command("logs", epilog="Example: lit-studio kernels logs 3f2a -f")
def kernels_logs(
    kernel: Which,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the kernel ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each piece of output.")] = False,
) -> None:
    """Print what a kernel has printed, from its journal."""
    from lit_studio.cli.kernels import show_logs

    show_logs(kernel, follow, as_json)


@kernels_app.command("stop", epilog="Example: lit-studio kernels stop 3f2a")
def kernels_stop(
    kernel: Which,
    now: Annotated[bool, typer.Option("--now", help="Don't ask it first.")] = False,
    as_json: AsJson = False,
) -> None:
    """End a kernel; its server doesn't start it again."""
    from lit_studio.cli.kernels import stop_kernel

    stop_kernel(kernel, now, as_json)


@app.command(epilog="Example: lit-studio migrate train.py · shows the diff; add --write to change the file")
def migrate(
    path: Annotated[Path, typer.Argument(help="A script, a notebook, a configuration, or a folder of them.")],
    write: Annotated[bool, typer.Option("--write", help="Change the files; without it they are only read.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring code written for Lightning here: show what changes, and what is not supported."""
    from lit_studio.cli import migrate as room

    raise typer.Exit(room.migrate(path, write, as_json))


@app.command(epilog="Example: lit-studio doctor --json")
def doctor(
    config: Annotated[bool, typer.Option("--config", help="Say which value of each setting wins, and why.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check what is here and what is missing; each failed check names the line that mends it."""
    from lit_studio.cli import doctor as room

    raise typer.Exit(room.show_settings(as_json) if config else room.examine(as_json))


def _names() -> list[str]:
    return [
        *(command.name or command.callback.__name__ for command in app.registered_commands if command.callback),
        "runs",
        "kernels",
    ]


def exit_status(error: StudioError) -> int:
    """The exit status that ``error`` stands for."""
    if isinstance(error, RunNotFoundError | KernelNotFoundError | FileNotFoundError):
        return NOT_FOUND
    return USAGE if isinstance(error, InvalidValueError | InvalidTypeError) else FAILED


def main(arguments: list[str] | None = None) -> None:
    """The console script; ends the process.

    Args:
        arguments: what follows ``lit-studio``; default: the process's own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=arguments, prog_name="lit-studio")
    except StudioError as error:
        what, _, advice = str(error).partition("\n")
        if "--json" in arguments:
            terminal.print_json({"error": {"message": what, "advice": advice or None}})
        else:
            terminal.fail(what, advice)
        sys.exit(exit_status(error))
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        sys.exit(DONE)
