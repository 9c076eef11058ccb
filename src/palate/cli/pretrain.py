"""``palate pretrain``: from an event log to a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palate.cli.source import open_log
from palate.data import PreparedLog


def pretrain_command(
    data: Annotated[Path, typer.Argument(help="Folder with events (items, users, schema.yaml), or a prepared log.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; it must not exist.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML file with settings; the others keep their defaults.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights, order and dropout.")] = None,
    split: Annotated[
        str | None, typer.Option(help="temporal, leave_one_out or none; otherwise the schema's.", metavar="KIND")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was cut off.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what memory and time it would take, and leave nothing behind.")
    ] = False,
    sharded: Annotated[
        bool,
        typer.Option("--sharded", help="Under torchrun: share out the weights too (FSDP2) instead of copying them."),
    ] = False,
    device: Annotated[
        str, typer.Option(help="Where steps are taken: cpu, cuda, or cuda:1 for the second GPU.")
    ] = "cpu",
    strict: Annotated[bool, typer.Option("--strict", help="Stop where a repair of the data would be needed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Train a model, choose its weights on the validation part, and seal them in a run folder.

    DATA may also be a log that `palate data prepare` made: it need not fit into memory. Several processes share the
    work where torchrun starts them: torchrun --nproc-per-node 2 -m palate pretrain my-data --out runs/first

    Example: palate pretrain my-data --out runs/first
    """
    from palate.terminal.progress import TerminalReporter, duration, estimate_lines
    from palate.train import PretrainConfig, estimate_training, pretrain
    from palate.train.device import find_device
    from palate.train.processes import processes

    settings = PretrainConfig() if config is None else PretrainConfig.from_yaml(config)
    changes = {name: value for name, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    settings = PretrainConfig.parse(settings.model_dump() | changes, source="the command line")
    place = find_device(device)
    with processes() as joined:
        messages = Console(stderr=True, quiet=not joined.writes)
        log = open_log(data, split, strict=strict, messages=messages)
        if dry_run:
            found = estimate_training(log, out, settings, processes=joined, sharded=sharded, device=place)
            if joined.writes:
                typer.echo(found.model_dump_json() if as_json else "\n".join(estimate_lines(found)))
            return
        with TerminalReporter(messages) as reporter:
            reporters = [reporter] if joined.writes else []
            run = pretrain(
                log,
                out,
                settings,
                resume=resume,
                reporters=reporters,
                processes=joined,
                sharded=sharded,
                device=place,
            )
    if not joined.writes:
        return
    metrics = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
    if as_json:
        typer.echo(json.dumps({"run": str(run.folder), **metrics}))
        return
    seconds = duration(metrics["training"]["whole"]["seconds"])
    best = metrics["training"]["best"]
    name = f"ndcg@{settings.validation.k}"
    sealed = metrics.get("metrics", {}).get(name)
    figures = ""
    if sealed is not None:
        figures = f"; validation {name.upper()} {sealed['value']:.4f}"
    elif best is not None:
        figures = f"; validation {name.upper()} {best['value']:.4f} in training"
    typer.echo(f"{run.folder}: sealed after {seconds}{figures}")
    if PreparedLog.is_there(data):
        typer.echo(f"next: palate evaluate {run.folder} DATA, the data folder that {data} was prepared from")
    else:
        typer.echo(f"next: palate evaluate {run.folder} {data}")
