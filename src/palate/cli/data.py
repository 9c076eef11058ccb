"""``palate data``: check, describe and prepare event logs, convert foreign ones, and make simulated ones."""

from __future__ import annotations

import typer

from palate.cli.convert import convert_command
from palate.cli.inspect import inspect_command
from palate.cli.prepare import prepare_command
from palate.cli.simulate import simulate_command

data_app = typer.Typer(no_args_is_help=True, help="Check, describe, convert and prepare event logs; simulate.")
data_app.command("inspect")(inspect_command)
data_app.command("convert")(convert_command)
data_app.command("prepare")(prepare_command)
data_app.command("simulate")(simulate_command)
