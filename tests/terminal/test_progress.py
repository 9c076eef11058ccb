"""If these fail, a person at a terminal is not told what a training needs, or in words that nobody asked for."""

from palate.terminal.progress import estimate_lines, needed_lines
from palate.train.estimate import Estimate

TOLD = Estimate(
    memory={
        "in use before": 600 << 20,
        "log, as far as it is mapped": 0,
        "compiled products": 400 << 20,
        "a step or a validation": 50 << 20,
        "sealing": 300 << 20,
    },
    peak_bytes=1300 << 20,
    available_bytes=17 << 30,
    step_seconds=0.1,
    validation_seconds=3,
    training_seconds=130,
    new_items_seconds=40,
    sealing_seconds=10,
    seconds=180,
)


def test_a_training_is_told_in_a_line() -> None:
    assert needed_lines(TOLD) == ["needs about 1.3 GiB of memory (17.6 GiB are free) and at most 3 min 00 s"]


def test_too_little_memory_is_a_warning_with_what_to_do() -> None:
    _, warning = needed_lines(TOLD.model_copy(update={"available_bytes": 500 << 20}))
    assert "200 MiB too much" in warning
    assert "batch_tokens" in warning


def test_a_dry_run_tells_the_parts() -> None:
    lines = "\n".join(estimate_lines(TOLD))
    for part in ("compiled products 400 MiB", "sealing 300 MiB", "fit of new items 40 s", "a step 100 ms"):
        assert part in lines
