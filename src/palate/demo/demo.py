"""The demo: simulate, train, measure, show."""

from __future__ import annotations

import json
import time
from pathlib import Path

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from palate.baselines.choose import standard
from palate.data import SCHEMA_FILE, Dataset, Part, queries, split
from palate.demo.oracle import OracleScorer
from palate.demo.plots import beside_baselines, learning_curve
from palate.errors import ConfigError
from palate.evaluate.evaluation import Evaluation
from palate.foundation import FoundationModel
from palate.rank.recommend import recommend
from palate.simulate import Oracle, SimulationConfig, simulate
from palate.terminal.progress import RankingProgress, TerminalReporter, duration
from palate.tokens import PackConfig
from palate.train import PretrainConfig, ValidationConfig, measure, pretrain
from palate.train.config import OptimizerConfig
from palate.train.state import TrainingState
from palate.words import EVENT_TYPE, EVENT_VALUE, ITEM_ID, QUERY, RANK, TIMESTAMP, USER_ID

SETTINGS = PretrainConfig(
    packing=PackConfig(batch_tokens=512),
    optimizer=OptimizerConfig(learning_rate=5e-3),
    validation=ValidationConfig(patience=4),
)
NAMES = {
    "oracle": "oracle (knows the truth)",
    "popular": "popular, frozen",
    "recent_popular": "popular of 7 days, frozen",
    "popular_rolling": "popular, rolling",
    "recent_popular_rolling": "popular of 7 days, rolling",
    "transitions": "what followed the last",
    "ease": "EASE",
    "item_knn": "item-kNN",
}
SHOWN_HISTORY, SHOWN_PICKS = 8, 8


def run_demo(out: Path, *, members: int, items: int, epochs: int, seed: int) -> None:
    """Run the demo into ``out``, which must not exist; tells a person what happens."""
    if out.exists():
        raise ConfigError(f"{out} exists already", hint="choose another folder with --out, or delete it")
    started = time.monotonic()
    console, messages = Console(), Console(stderr=True)
    data, run, plots = out / "data", out / "run", out / "plots"

    console.rule("[bold]1  A streaming service", align="left")
    with messages.status("simulating"):
        simulation = simulate(SimulationConfig(members=members, items=items, seed=seed))
        # A viewing goes on after a break: who predicts that has predicted nothing.
        schema = simulation.schema.model_copy(update={"one_target_a_run": True})
        simulation.write(data)
        schema.write(data / SCHEMA_FILE)
    dataset = Dataset.from_folder(data)
    division = split(dataset)
    console.print(
        f"{members:,} members left {dataset.events.height:,} events on {items:,} titles and episodes; see {data}.\n"
        "Training sees the first 80 % of the time, chooses by the next 10 %, and is tested on the last 10 %: which\n"
        "different item comes next?",
        highlight=False,
    )

    console.rule("[bold]2  Learning the members' taste", align="left")
    settings = SETTINGS.model_copy(update={"epochs": epochs, "seed": seed})
    with TerminalReporter(messages) as reporter:
        pretrain(dataset, run, settings, reporters=[reporter])
    model = FoundationModel.from_pretrained(run)
    console.print(f"Sealed as {run}; its README.md says what it is.", highlight=False)

    console.rule("[bold]3  Measured on what nobody has seen", align="left")
    with RankingProgress(messages) as progress:
        figures = measure(
            model.scorer(dataset),
            dataset,
            division,
            Part.TEST,
            baselines=standard(dataset, division) | {"oracle": OracleScorer(Oracle.read(data), dataset.events)},
            progress=progress,
        )
    assert figures is not None, "the simulated service has events in its last tenth"
    (out / "metrics.json").write_text(figures.to_json(), encoding="utf-8")
    console.print(_ranking_table(figures))
    reached = figures.metrics["ndcg@10"].value / figures.baselines["oracle"]["ndcg@10"].value
    console.print(f"The model reaches {reached:.0%} of what is possible for who knows every member's mind.\n")

    console.rule("[bold]4  One member", align="left")
    _show_member(model, dataset, console)

    plots.mkdir()
    training = TrainingState.model_validate(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["training"])
    learning_curve(training.validations, plots / "learning-curve.png", references={})
    beside_baselines(figures, plots / "beside-baselines.png", name="Palate", names=NAMES)

    console.rule("[bold]5  What next", align="left")
    console.print(
        f"plots        {plots}/learning-curve.png, {plots}/beside-baselines.png\n"
        f"figures      {out}/metrics.json\n"
        f"more picks   palate recommend {run} {data} --user {dataset.events[USER_ID][0]}\n"
        f"all figures  palate evaluate {run} {data}\n"
        "your events  palate data inspect MY-DATA, then palate pretrain MY-DATA --out my-run\n"
        f"\ndone in {duration(time.monotonic() - started)}",
        highlight=False,
        soft_wrap=True,
    )


def _ranking_table(figures: Evaluation) -> Table:
    table = Table("ranking", box=box.SIMPLE_HEAD)
    metrics = ("ndcg@10", "hr@10", "mrr@10", "coverage@10")
    for name in metrics:
        table.add_column(name.upper() if "@" in name else name, justify="right")
    rows = {"Palate": figures.metrics} | {NAMES.get(name, name): each for name, each in figures.baselines.items()}
    for name, each in sorted(rows.items(), key=lambda row: -row[1]["ndcg@10"].value):
        cells = [
            f"{each[metric].value:.3f}"
            + ("" if each[metric].low is None else f" [dim]{each[metric].low:.3f}–{each[metric].high:.3f}[/dim]")
            for metric in metrics
        ]
        table.add_row(name, *cells, style="bold" if name == "Palate" else None)
    return table


def _show_member(model: FoundationModel, dataset: Dataset, console: Console) -> None:
    """The member with most plays in the test part: the past, the picks at its start, and which were played later."""
    division = split(dataset)
    asked = queries(dataset, division, Part.TEST)
    counts = asked.group_by(USER_ID).agg(pl.len().alias("plays")).sort("plays", USER_ID, descending=[True, False])
    chosen = counts[USER_ID][0]
    first = asked.filter(pl.col(USER_ID) == chosen).head(1)
    assert dataset.items is not None, "the simulated service has an items table"
    described = dataset.items.select(ITEM_ID, "title", pl.col("genres").list.join(", "))

    plays = dataset.events.filter((pl.col(USER_ID) == chosen) & (pl.col(EVENT_TYPE) == "play"))
    moment = first[TIMESTAMP][0]
    past = plays.filter(pl.col(TIMESTAMP) < moment).tail(SHOWN_HISTORY).join(described, on=ITEM_ID, how="left")
    history = Table(
        "when",
        "title",
        "genres",
        "minutes",
        title=f"{chosen}: the last {SHOWN_HISTORY} plays",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for row in past.iter_rows(named=True):
        when = pl.Series([row[TIMESTAMP]]).cast(pl.Datetime("ms")).dt.strftime("%a %d %b, %H:%M")[0]
        history.add_row(when, row["title"], row["genres"], f"{row[EVENT_VALUE] / 60:.0f}")
    console.print(history)

    later = set(plays.filter(pl.col(TIMESTAMP) >= moment)[ITEM_ID])
    picks = recommend(model.scorer(dataset), dataset, first, k=SHOWN_PICKS).join(described, on=ITEM_ID, how="left")
    shown = Table(
        "",
        "title",
        "genres",
        "",
        title="Palate's picks then",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for row in picks.sort(QUERY, RANK).iter_rows(named=True):
        shown.add_row(
            str(row[RANK]), row["title"], row["genres"], "[green]played later[/]" if row[ITEM_ID] in later else ""
        )
    console.print(shown)


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, box=box.SIMPLE_HEAD, title_justify="left")
