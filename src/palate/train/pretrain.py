"""From a dataset to a sealed run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from palate.data import Dataset, Part, Split
from palate.errors import ConfigError, RunExistsError, UnfinishedRunError
from palate.evaluate.evaluation import Evaluation
from palate.evaluate.slices import training_popularity
from palate.model import SequenceModel
from palate.rank.members import later_events
from palate.rank.model_scorer import ModelScorer
from palate.runs import HeadFigure, Run, model_card, network, write_run
from palate.tokens import Catalogue, Tokenizer, training_catalogue
from palate.tokens.rewards import Rewards
from palate.train.chosen import as_chosen, check_settings
from palate.train.config import PretrainConfig
from palate.train.device import PROCESSOR, check_device, present
from palate.train.estimate import Estimate
from palate.train.kept import fitted, keep
from palate.train.log import Log, WholeLog
from palate.train.loop import Trainer
from palate.train.material import Material, Teaching
from palate.train.measure import measure
from palate.train.memory import hand_back_memory, keep_freed_memory
from palate.train.new_items import NewItems, choose_trust, fit_new_items
from palate.train.parallel import check_sampled, check_sharded
from palate.train.plan import BatchPlanner
from palate.train.processes import ALONE, Processes
from palate.train.report import Reporter, TensorBoardReporter
from palate.train.resident import mapped_bytes, peak_bytes, resident_bytes
from palate.train.softmax import SoftmaxChoice, choose_softmax
from palate.train.state import TrainingState, Whole
from palate.train.validate import Validator
from palate.words import IMPRESSIONS, ITEM_ID

ID_DROPOUT: Final = 0.05
"""Of a tower whose metadata say all of items without an id: where nothing is inferred behind the training."""


def pretrain(
    data: Dataset | Log,
    out: Path | str,
    config: PretrainConfig | None = None,
    *,
    resume: bool = False,
    reporters: Sequence[Reporter] = (),
    processes: Processes = ALONE,
    sharded: bool = False,
    device: str | torch.device = PROCESSOR,
) -> Run:
    """Train on the data's training part, choose the weights on its validation part, and seal a run at ``out``.

    While it trains, ``out``.training holds checkpoints; killed at any moment, ``resume`` goes on from there and ends
    with the same weights; a finished run is read. With several ``processes`` (`palate.train.processes`) all of them
    call this alike, and share the work; ``sharded`` also shares weights and optimizer (`palate.train.parallel`).
    ``device`` is where the steps are taken, by a name of `palate.train.device.find_device`; the run is the same kind of
    run wherever that is.

    Raises `RunExistsError` where ``out`` is taken, also by a finished run of other settings, `UnfinishedRunError` where
    a training was cut off and ``resume`` is not given, `SplitError` where a part has no target, `ConfigError` for
    ``sharded`` in a process that has not joined, and for a device that is not there.
    """
    out, work = Path(out), _beside(out, ".training")
    config = config or PretrainConfig()
    check_sharded(processes, sharded=sharded)
    device = _checked(device, processes)
    if processes.writes and out.exists():
        if not resume:
            raise RunExistsError(f"{out} exists already", hint="choose another folder with --out, or delete it")
        # Finished before, or killed between sealing the run and clearing up behind it: nothing is left to train. What
        # is there may also be no run at all; then the training is still needed.
        Run.read(out)
        shutil.rmtree(work, ignore_errors=True)
    if processes.writes and not out.exists() and work.exists() and not resume:
        raise UnfinishedRunError(
            f"{work} holds a training that was cut off", hint="go on with --resume, or delete that folder"
        )
    # Nobody looks before the one that writes has cleared up, and nobody makes what another one still looks for.
    processes.wait()
    finished = out.exists()
    processes.wait()
    if finished:
        run = Run.read(out)
        check_settings(run, config)
        return run

    keep_freed_memory()
    log = WholeLog(data) if isinstance(data, Dataset) else data
    training = _Training.begin(log, work, config, processes, sharded=sharded, device=device, reporters=reporters)
    trainer, validation, model = training.trainer, training.validation, training.model
    trainer.estimate(resident=training.resident, log_bytes=training.log_bytes)
    trainer.restore()
    state = trainer.run()
    optimizer = trainer.optimizer_tensors()
    hand_back_memory()
    # Every process does the same with whole batches: it is short, and all of them rank the validation targets.
    new_items, began = None, time.monotonic()
    if training.infers:
        for reporter in reporters:
            reporter.stage("learning what new items are like")
        new_items = fit_new_items(model, training.catalogue, training.planner, seed=config.seed)
    if new_items is not None and validation is not None:
        new_items = replace(new_items, trust=choose_trust(model, validation.validator.late_ndcg()))
    new_items_seconds = time.monotonic() - began
    hand_back_memory()
    if processes.writes:
        chosen = as_chosen(config, model, training.softmax)
        for reporter in reporters:
            reporter.stage("measuring and sealing")
        fit = _Fit(new_items, new_items_seconds)
        _seal(out, work, chosen, training.tokenizer, log, validation, model, optimizer, state, fit)
        shutil.rmtree(work)
        if state.whole is not None:
            for reporter in reporters:
                reporter.sealed(state.whole)
    processes.wait()
    return Run.read(out)


def estimate_training(
    data: Dataset | Log,
    out: Path | str,
    config: PretrainConfig | None = None,
    *,
    processes: Processes = ALONE,
    sharded: bool = False,
    device: str | torch.device = PROCESSOR,
) -> Estimate:
    """What `pretrain` would take; the log is encoded for it beside ``out``, and all is gone again. Errors as there."""
    work = _beside(out, ".estimate")
    check_sharded(processes, sharded=sharded)
    device, config = _checked(device, processes), config or PretrainConfig()
    keep_freed_memory()
    log = WholeLog(data) if isinstance(data, Dataset) else data
    if processes.writes:
        shutil.rmtree(work, ignore_errors=True)  # what a killed estimate of other data may have left
    try:
        training = _Training.begin(log, work, config, processes, sharded=sharded, device=device, reporters=())
        return training.trainer.estimate(resident=training.resident, log_bytes=training.log_bytes)
    finally:
        if processes.writes:
            shutil.rmtree(work, ignore_errors=True)


def _checked(device: str | torch.device, processes: Processes) -> torch.device:
    """A device that is there. Raises `ConfigError`."""
    found = present(device)
    check_device(found, processes)
    return found


def _beside(out: Path | str, ending: str) -> Path:
    """The work folder of a run."""
    out = Path(out)
    if not out.name:  # "." or "/"
        raise RunExistsError(f"{out} exists already", hint="name a folder that does not")
    return out.with_name(out.name + ending)


@dataclass(frozen=True)
class _Training:
    """Everything that is made before the first step."""

    tokenizer: Tokenizer
    model: SequenceModel
    validation: _Validation | None
    trainer: Trainer
    catalogue: Catalogue
    planner: BatchPlanner
    """Of whole batches."""
    softmax: SoftmaxChoice
    infers: bool
    """Whether items without an id are inferred behind the training."""
    resident: int
    """Bytes in memory before the first step."""
    log_bytes: int
    """Of the encoded log, what is not yet in memory."""

    @classmethod
    def begin(
        cls,
        log: Log,
        work: Path,
        config: PretrainConfig,
        processes: Processes,
        *,
        sharded: bool,
        device: torch.device,
        reporters: Sequence[Reporter],
    ) -> _Training:
        """One process fits and encodes, the others read what it made."""
        if not processes.writes:
            processes.wait()
        tokenizer = fitted(log, config.tokenizer, work / "tokenizer")
        teaching, model = _teaching(config, log), new_model(config, tokenizer)
        catalogue = training_catalogue(tokenizer)
        softmax = choose_softmax(config, model, catalogue)
        check_sampled(processes, sampled=softmax.sampler is not None)
        # By a regression over items that are all scored in each of its steps.
        infers = model.tower.inferred is not None and softmax.sampler is None
        if not infers and model.tower.metadata is not None and config.model.tower.id_dropout is None:
            model.tower.id_dropout = ID_DROPOUT
        if processes.writes:
            # Whatever is wrong with the settings is said before anything is left behind.
            work.mkdir(parents=True, exist_ok=True)
            tokenizer = keep(tokenizer, log, config.tokenizer, work / "tokenizer")
            material = Material.write(tokenizer, log.parts, work / "tokens", teaching=teaching, source=log.source)
            processes.wait()
        else:
            material = Material.read(work / "tokens")
        validation = _Validation.of(log, material, model, tokenizer, config, processes, infers=infers)
        board = [TensorBoardReporter(work / "tensorboard")] if processes.writes else []
        trainer = Trainer(
            config,
            model,
            BatchPlanner(material, tokenizer, config, processes),
            catalogue,
            None if validation is None else validation.validator,
            checkpoints=work / "checkpoints",
            data=f"{material.digest()} {tokenizer.digest()} {catalogue.digest()}",
            softmax=softmax,
            reporters=(*reporters, *board),
            processes=processes,
            sharded=sharded,
            device=device,
        )
        planner = BatchPlanner(material, tokenizer, config)
        hand_back_memory()
        log_bytes = sum(path.stat().st_size for path in (work / "tokens").iterdir())
        log_bytes = max(log_bytes - mapped_bytes(work / "tokens"), 0)
        resident = resident_bytes()
        return cls(tokenizer, model, validation, trainer, catalogue, planner, softmax, infers, resident, log_bytes)


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
        cls,
        log: Log,
        material: Material,
        model: SequenceModel,
        tokenizer: Tokenizer,
        config: PretrainConfig,
        processes: Processes,
        *,
        infers: bool,
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
        validator = Validator(
            scorer, dataset, division, config.validation, seed=config.seed, processes=processes, infers=infers
        )
        return cls(dataset, division, scorer, validator)


def later_views(log: Log, tokenizer: Tokenizer) -> pl.DataFrame | None:
    """Events of all members after the training's last one, of whom validation holds some only; none without time."""
    return later_events(lambda: (dataset for dataset, _ in log.parts()), tokenizer)


class _Fit(NamedTuple):
    """The fit of new items."""

    found: NewItems | None
    seconds: float


def _seal(
    out: Path,
    work: Path,
    config: PretrainConfig,
    tokenizer: Tokenizer,
    log: Log,
    validation: _Validation | None,
    model: SequenceModel,
    optimizer: Mapping[str, Tensor],
    state: TrainingState,
    fit: _Fit,
) -> None:
    """Measure the validation part and write the run folder."""
    began = time.monotonic()
    figures = None
    if validation is not None:
        figures = measure(
            validation.scorer,
            validation.dataset,
            validation.split,
            Part.VALIDATION,
            popularity=_popularity(log),
            asked=validation.validator.queries,
        )
    any_part, any_split = next(log.parts())
    metrics = {} if figures is None else figures.model_dump(mode="json")
    metrics["new_items"] = None if fit.found is None else asdict(fit.found)
    shown: dict[str, str] = (
        {}
        if figures is None
        else {
            name: f"{figures.metrics[name].value:.4f}"
            for name in ("ndcg@10", "hr@10", "mrr@10")
            if name in figures.metrics
        }
    )
    sealing_seconds = time.monotonic() - began
    state.whole = whole = Whole(
        seconds=state.seconds + fit.seconds + sealing_seconds,
        new_items_seconds=fit.seconds,
        sealing_seconds=sealing_seconds,
        peak_bytes=peak_bytes(),
    )
    facts = {
        "events": f"{log.events:,}",
        "members": f"{log.members:,}",
        "training targets seen": f"{state.targets:,} in {state.step:,} steps, {state.epoch} epochs",
        "time": f"{whole.seconds:,.0f} s on {state.device}",
        "softmax": state.softmax,
        "memory": f"{whole.peak_bytes / 2**30:.2f} GiB at most",
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
    metrics["training"] = state.model_dump(mode="json", exclude={"config"})
    logs = {f"tensorboard/{path.name}": path.read_bytes() for path in sorted((work / "tensorboard").iterdir())}
    write_run(
        out,
        config=config.to_yaml(),
        tokenizer=tokenizer,
        items=any_part.items,
        model=model.state_dict(),
        optimizer=optimizer,
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
