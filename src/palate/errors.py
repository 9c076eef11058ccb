"""Everything that can go wrong because of what a user did, as one tree.

    PalateError
    ├── DataError            the tables: what, in which file and column, how many rows, an example
    │   ├── MissingTableError
    │   ├── MissingColumnError
    │   ├── ColumnTypeError
    │   ├── EmptyTableError
    │   ├── TornFileError
    │   └── StrictError      a repair that --strict turned into an error
    ├── SchemaError          schema.yaml
    ├── SplitError           nothing to train on, or nothing to test on
    ├── ConfigError          a setting that can't be used with this data or run
    ├── RunError             the run folder
    │   ├── RunExistsError
    │   ├── UnfinishedRunError
    │   ├── DamagedRunError
    │   └── FormatVersionError
    ├── TrainingError        training can't go on (a loss that is not finite, say)
    ├── UnknownMemberError
    ├── UnknownItemError
    └── MissingExtraError    an optional part is not installed

The message says what happened and where; ``hint`` says what to do about it. A failed ``assert`` is a bug
in Palate, never the user's doing.
"""

from __future__ import annotations


class PalateError(Exception):
    """Base of all errors that a user can act upon."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} ({self.hint})"


class DataError(PalateError):
    """The tables can't be used as they are."""


class MissingTableError(DataError):
    """A data folder without a table that is needed."""


class MissingColumnError(DataError):
    """A table without a column that is needed."""


class ColumnTypeError(DataError):
    """A column whose values can't be read as what the contract or the schema says."""


class EmptyTableError(DataError):
    """A table without rows, at the start or after repairs."""


class TornFileError(DataError):
    """A file that ends too early or is not what its name says."""


class StrictError(DataError):
    """A repair that ``strict`` turned into an error."""


class SchemaError(PalateError):
    """A schema that contradicts itself or the tables."""


class SplitError(PalateError):
    """A split that leaves a part without events."""


class ConfigError(PalateError):
    """A setting that can't be used here."""


class RunError(PalateError):
    """A run folder that can't be used."""


class RunExistsError(RunError):
    """The output folder is taken."""


class UnfinishedRunError(RunError):
    """The output folder holds a training that was cut off."""


class DamagedRunError(RunError):
    """A file of a run is missing or has another hash than its manifest says."""


class FormatVersionError(RunError):
    """A run of a format that this version can't read."""


class TrainingError(PalateError):
    """Training can't go on."""


class UnknownMemberError(PalateError):
    """A member that is not in the data."""


class UnknownItemError(PalateError):
    """An item that neither the data nor the run know."""


class MissingExtraError(PalateError):
    """An optional part that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", hint=f"install it with: pip install 'palate[{extra}]'")
