"""From a dataset to a sealed run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch

from palate.data import Dataset, Part, Split
from palate.errors import ConfigError, RunExistsError, UnfinishedRunError
from palate.evaluate.evaluation import Evaluation
from palate.evaluate.slices import training_popularity
from palate.model import SequenceModel
from palate.rank.model_scorer import ModelScorer
from palate.runs import HeadFigure, Run, model_card, network, write_run
from palate.tokens import Tokenizer, training_catalogue
from palate.tokens.rewards import Rewards
from palate.train.config import PretrainConfig
from palate.train.log import Log, WholeLog
from palate.train.loop import Trainer
from palate.train.material import Material, Teaching
from palate.train.measure import measure
from palate.train.new_items import NewItems, choose_trust, fit_new_items
from palate.train.plan import BatchPlanner
from palate.train.report import Reporter, TensorBoardReporter
from palate.train.state import TrainingState
from palate.train.validate import Validator
from palate.words import IMPRESSIONS, ITEM_ID


def pretrain(
    data: Dataset | Log,
    out: Path | str,
    config: PretrainConfig | None = None,
    *,
    resume: bool = False,
    reporters: Sequence[Reporter] = (),
) -> Run:
    """Train on the data's training part, choose the weights on its validation part, and seal a run at ``out``.

    While it trains, ``out``.training holds checkpoints; killed at any moment, ``resume`` goes on from there and ends
    with the same weights; a finished run is read. Raises `RunExistsError` where ``out`` is taken, `UnfinishedRunError`
    where a training was cut off and ``resume`` is not given, `SplitError` where a part has no target.
    """
    out = Path(out)
    work = out.with_name(out.name + ".training")
    config = config or PretrainConfig()
    if out.exists():
        if not resume:
            raise RunExistsError(f"{out} exists already", hint="choose another folder with --out, or delete it")
        # Finished before, or killed between sealing the run and clearing up behind it: nothing is left to train.
        shutil.rmtree(work, ignore_errors=True)
        return Run.read(out)
    if work.exists() and not resume:
        raise UnfinishedRunError(
            f"{work} holds a training that was cut off", hint="go on with --resume, or delete that folder"
        )

    log = WholeLog(data) if isinstance(data, Dataset) else data
    tokenizer = Tokenizer.fit_parts(log.parts, config.tokenizer)
    teaching, model = _teaching(config, log), new_model(config, tokenizer)
    # Whatever is wrong with the settings is said before anything is left behind.
    work.mkdir(parents=True, exist_ok=True)
    material = Material.write(tokenizer, log.parts, work / "tokens", teaching=teaching, source=log.source)
    validation = _Validation.of(log, material, model, tokenizer, config)
    catalogue = training_catalogue(tokenizer)
    planner = BatchPlanner(material, tokenizer, config)
    trainer = Trainer(
        config,
        model,
        planner,
        catalogue,
        None if validation is None else validation.validator,
        checkpoints=work / "checkpoints",
        data=f"{material.digest()} {tokenizer.digest()} {catalogue.digest()}",
        reporters=(*reporters, TensorBoardReporter(work / "tensorboard")),
    )
    trainer.restore()
    state = trainer.run()
    new_items = fit_new_items(model, catalogue, planner, seed=config.seed)
    if new_items is not None and validation is not None:
        new_items = replace(new_items, trust=choose_trust(model, validation.validator.ndcg))
    _seal(out, work, config, tokenizer, log, validation, model, trainer, state, new_items)
    shutil.rmtree(work)
    return Run.read(out)


def new_model(config: PretrainConfig, tokenizer: Tokenizer) -> SequenceModel:
    """The model of a configuration with its first weights, drawn from the seed."""
    torch.manual_seed(config.seed)
    model = network(config.model, tokenizer, context=config.windows.context)
    if config.model.popularity_bias:
        counts = tokenizer.items.table["count"].to_numpy().astype(np.int64)
        model.start_at_popularity(torch.from_numpy(counts))
    return model


def _teaching(config: PretrainConfig, log: Log) -> Teaching:
    """What is learned of targets. Raises `ConfigError` for what the log has no columns for."""
    presentation = config.model.presentation
    if presentation is not None:
        dataset, _ = next(iter(log.parts()))
        if IMPRESSIONS not in dataset.events.columns:
            raise ConfigError(
                "model.presentation corrects for what was shown, and the events have no column impressions",
                hint="leave it out, or log what was shown with each choice",
            )
    rewards = None if config.rewards is None else Rewards.fit(log.parts, config.rewards)
    return Teaching(rewards=rewards, places=0 if presentation is None else presentation.places)


@dataclass(frozen=True)
class _Validation:
    """Members whose validation targets are ranked."""

    dataset: Dataset
    split: Split
    scorer: ModelScorer
    validator: Validator

    @classmethod
    def of(
        cls, log: Log, material: Material, model: SequenceModel, tokenizer: Tokenizer, config: PretrainConfig
    ) -> _Validation | None:
        held_out = log.held_out(config.validation.targets, config.seed)
        if held_out is None:
            return None
        dataset, division = held_out
        # Merged runs don't end at the cut for who looks back over it: such a log is encoded again.
        whole = dataset.events.height == log.events and tokenizer.config.runs == "keep"
        store = material.store if whole else tokenizer.encode(dataset)
        later = None if dataset.events.height == log.events else later_views(log, tokenizer)
        windows = config.windows
        scorer = ModelScorer(
            model, tokenizer, dataset, context=windows.context, slide=windows.slide, store=store, later=later
        )
        validator = Validator(scorer, dataset, division, config.validation, seed=config.seed)
        return cls(dataset, division, scorer, validator)


def _with_heads(config: PretrainConfig, model: SequenceModel) -> PretrainConfig:
    """The configuration with the names of the heads, so that the run does not depend on how they are chosen."""
    if config.model.intents is None or model.intents is None:
        return config
    names = tuple(spec.name for spec in model.intents.specs)
    intents = config.model.intents.model_copy(update={"heads": names})
    return config.model_copy(update={"model": config.model.model_copy(update={"intents": intents})})


def later_views(log: Log, tokenizer: Tokenizer) -> pl.DataFrame | None:
    """Events of all members after the training's last one, of whom validation holds some only; none without time."""
    assert tokenizer.ages is not None, "a fitted tokenizer"
    if not tokenizer.has_time:
        return None
    ages = tokenizer.ages
    counted = pl.concat(ages.later(dataset.events) for dataset, _ in log.parts())
    return counted.group_by(ITEM_ID, "bin").agg(pl.col("events").sum())


def _seal(
    out: Path,
    work: Path,
    config: PretrainConfig,
    tokenizer: Tokenizer,
    log: Log,
    validation: _Validation | None,
    model: SequenceModel,
    trainer: Trainer,
    state: TrainingState,
    new_items: NewItems | None,
) -> None:
    """Measure the validation part and write the run folder."""
    figures = None
    if validation is not None:
        figures = measure(
            validation.scorer, validation.dataset, validation.split, Part.VALIDATION, popularity=_popularity(log)
        )
    any_part, any_split = next(log.parts())
    metrics = {} if figures is None else figures.model_dump(mode="json")
    metrics["new_items"] = None if new_items is None else asdict(new_items)
    metrics["training"] = state.model_dump(mode="json", exclude={"config"})
    shown: dict[str, str] = (
        {}
        if figures is None
        else {
            name: f"{figures.metrics[name].value:.4f}"
            for name in ("ndcg@10", "hr@10", "mrr@10")
            if name in figures.metrics
        }
    )
    facts = {
        "events": f"{log.events:,}",
        "members": f"{log.members:,}",
        "training targets seen": f"{state.targets:,} in {state.step:,} steps, {state.epoch} epochs",
        "time": f"{state.seconds:,.0f} s on {torch.get_num_threads()} threads",
        "split": any_split.rule.kind,
        "seed": str(config.seed),
    }
    card = model_card(
        model=model,
        config=config.model,
        tokenizer=tokenizer,
        objective=config.objective,
        rewards=config.rewards,
        context=config.windows.context,
        facts=facts,
        figures=shown,
        heads=[] if figures is None else _head_figures(figures),
    )
    logs = {f"tensorboard/{path.name}": path.read_bytes() for path in sorted((work / "tensorboard").iterdir())}
    write_run(
        out,
        config=_with_heads(config, model).to_yaml(),
        tokenizer=tokenizer,
        items=any_part.items,
        model=model.state_dict(),
        optimizer=trainer.optimizer_tensors(),
        metrics=json.dumps(metrics, indent=1) + "\n",
        card=card,
        extra=logs,
    )


def _head_figures(figures: Evaluation) -> list[HeadFigure]:
    return [
        HeadFigure(head, each.targets, each.accuracy.value, each.majority, each.majority_accuracy.value)
        for head, each in figures.heads.items()
    ]


def _popularity(log: Log) -> pl.DataFrame:
    """Training targets of each item in the whole log, of which validation may hold some members only."""
    counted = pl.concat(training_popularity(dataset, division) for dataset, division in log.parts())
    return counted.group_by(ITEM_ID, maintain_order=True).agg(pl.col("events").sum())
