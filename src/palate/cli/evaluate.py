"""``palate evaluate``: what a run is worth, beside baselines and other runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palate.cli.source import read_for
from palate.data import Part, split
from palate.errors import SplitError


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[Path, typer.Argument(help="Folder with the events that it was trained on.")],
    part: Annotated[str, typer.Option(help="validation or test.")] = "test",
    horizon: Annotated[
        int, typer.Option(min=1, metavar="N", help="Rank for the next N targets together; the run must look so far.")
    ] = 1,
    baselines: Annotated[bool, typer.Option(help="Rank by the baselines too.")] = True,
    compare: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN2", help="Another run, asked for the next target and compared; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON object there as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure a run on the part of the data that it did not learn from.

    Each look at the test part is noted in RUN.looks.jsonl: choose by validation, look at the test part once.

    Example: palate evaluate runs/first my-data
    """
    from palate.baselines.choose import standard
    from palate.foundation import FoundationModel
    from palate.terminal.progress import RankingProgress
    from palate.terminal.tables import evaluation_tables
    from palate.train import measure

    messages = Console(stderr=True)
    wanted = {"validation": Part.VALIDATION, "test": Part.TEST}.get(part)
    if wanted is None:
        raise SplitError(f"--part {part}: no such part", hint="validation or test")
    with messages.status("reading"):
        model = FoundationModel.from_pretrained(run)
        dataset = read_for(run, model.schema, data)
        division = split(dataset)
        scorer = model.ranker(dataset, horizon=horizon)
    others = {str(path): FoundationModel.from_pretrained(path).scorer(dataset) for path in compare or []}
    with messages.status("fitting baselines"):
        beside = standard(dataset, division) if baselines else {}
    with RankingProgress(messages) as progress:
        found = measure(scorer, dataset, division, wanted, baselines=beside, compare_with=others, progress=progress)
    if found is None:
        raise SplitError(
            f"the {part} part has no target", hint="the run was trained with another split, or on all events"
        )
    if wanted == Part.TEST:
        _note_look(run, data, messages)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(found.to_json(), encoding="utf-8")
    if as_json:
        typer.echo(found.model_dump_json())
        return
    name = run.name if horizon == 1 else f"{run.name}, next {horizon}"
    Console().print(evaluation_tables(found, name=name))


def _note_look(run: Path, data: Path, messages: Console) -> None:
    """Add a line to the looks at the test part, and say how many there were."""
    path = run.with_name(run.name + ".looks.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), "data": str(data)}) + "\n")
    looks = len(path.read_text(encoding="utf-8").splitlines())
    messages.print(f"looks at the test part with this run: {looks}", markup=False, highlight=False)
