"""``palate``: the command line. Every command is thin; errors that a user can act upon are one line on stderr."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from palate.cli.data import data_app
from palate.cli.demo import demo_command
from palate.cli.evaluate import evaluate_command
from palate.cli.explain import explain_command
from palate.cli.predict import predict_command
from palate.cli.pretrain import pretrain_command
from palate.cli.recommend import recommend_command
from palate.cli.tokenize import tokenize_command
from palate.errors import PalateError

app = typer.Typer(
    name="palate",
    help="One model that learns every member's taste from the whole event log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo_command)
app.add_typer(data_app, name="data")
app.command("tokenize")(tokenize_command)
app.command("pretrain")(pretrain_command)
app.command("evaluate")(evaluate_command)
app.command("recommend")(recommend_command)
app.command("predict")(predict_command)
app.command("explain")(explain_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("palate"))
        raise typer.Exit


@app.callback()
def palate(
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """One model that learns every member's taste from the whole event log."""
    _Debug.on = debug


class _Debug:
    on = False


def main() -> None:
    """Run the command line; exit status 1 for an error that the user can act upon, 130 when interrupted."""
    try:
        app()
    except PalateError as error:
        if _Debug.on:
            raise
        _say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say("stopped; a training or a preparation goes on with --resume")
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone (`palate … | head`); nothing is left to tell them.
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        # A full disk, a folder that may not be written, a file where a folder should be.
        if _Debug.on:
            raise
        _say(f"error: {error}")
        sys.exit(1)


def _say(line: str) -> None:
    Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)
