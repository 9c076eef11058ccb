"""``palate data``: check and describe event logs, convert foreign ones, and make simulated ones."""

from __future__ import annotations

import typer

from palate.cli.convert import convert_command
from palate.cli.inspect import inspect_command
from palate.cli.simulate import simulate_command

data_app = typer.Typer(no_args_is_help=True, help="Check, describe and convert event logs; make simulated ones.")
data_app.command("inspect")(inspect_command)
data_app.command("convert")(convert_command)
data_app.command("simulate")(simulate_command)
