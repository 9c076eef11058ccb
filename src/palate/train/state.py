"""Where a training stands: what a checkpoint keeps besides tensors."""

from __future__ import annotations

from pydantic import BaseModel

from palate.train.estimate import Estimate


class Validation(BaseModel):
    """One look at the validation part."""

    epoch: int
    """Epochs done."""
    step: int
    """Steps done."""
    loss: float
    """Mean loss of the training targets since the last look."""
    value: float
    """NDCG@k on the validation part."""
    seconds: float
    """Seconds of training until then, validations included."""


class Whole(BaseModel):
    """What all of it came to, up to the run's files: as `Estimate` told it."""

    seconds: float
    """Training, fit of new items and sealing."""
    new_items_seconds: float
    sealing_seconds: float
    """Until the files are written."""
    peak_bytes: int
    """The most resident memory that the last attempt's process had."""


class TrainingState(BaseModel):
    """The position of a training."""

    data: str
    """Digest of the encoded events: a training goes on only with the same."""
    config: str = ""
    """The configuration as YAML: a training goes on only with the same."""
    softmax: str = ""
    """Which softmax is descended, and why."""
    device: str = ""
    """Where the last attempt trained, in words."""
    device_bytes: int | None = None
    """The most memory of a GPU that the last attempt had in use; none on the processor."""
    figures: dict[str, float] = {}
    """What the first epoch holds: see `palate.train.plan.Figures`."""
    machine_peak: float = 0.0
    """Operations a second of matrix products that the machine showed before the last attempt."""
    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches done of the epoch that comes after them."""
    step: int = 0
    """Steps done."""
    targets: int = 0
    """Targets learned from."""
    loss_sum: float = 0.0
    """Summed loss since the last validation."""
    loss_targets: int = 0
    """Targets of that sum."""
    seconds: float = 0.0
    """Seconds of training until the checkpoint, over all attempts."""
    best: Validation | None = None
    """The best validation so far."""
    since_best: int = 0
    """Validations since then."""
    validations: list[Validation] = []
    """All validations."""
    estimate: Estimate | None = None
    """What was told before the last attempt; none where nobody asked."""
    peak_bytes: int | None = None
    """The most resident memory that the last attempt's process had until the end of training."""
    whole: Whole | None = None
    """With what came behind the training; none while that is under way."""
    finished: bool = False
    """Whether nothing is left to train."""
