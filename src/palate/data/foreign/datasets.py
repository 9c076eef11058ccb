"""Which files of a folder are the datasets of Amazon Personalize, and which schema belongs to which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palate.data.foreign.avro import Field, Record, read_record
from palate.data.foreign.config import ConvertConfig
from palate.data.foreign.text import TextFile, header
from palate.data.report import Findings
from palate.data.table import TableName
from palate.errors import DataError, MissingColumnError, MissingTableError, SchemaError
from palate.words import EVENT_TYPE, EVENT_VALUE, IMPRESSIONS, ITEM_ID, LAUNCH_TIME, TIMESTAMP, USER_ID

KNOWN: Final[dict[TableName, dict[str, str]]] = {
    "events": {
        "USER_ID": USER_ID,
        "ITEM_ID": ITEM_ID,
        "TIMESTAMP": TIMESTAMP,
        "EVENT_TYPE": EVENT_TYPE,
        "EVENT_VALUE": EVENT_VALUE,
        "IMPRESSION": IMPRESSIONS,
        "RECOMMENDATION_ID": "recommendation_id",
    },
    "items": {"ITEM_ID": ITEM_ID, "CREATION_TIMESTAMP": LAUNCH_TIME},
    "users": {"USER_ID": USER_ID},
}
"""Contract names of reserved columns."""

_WHOLE: Final = ("long", "int")
_NUMBER: Final = ("float", "double", "long", "int")
_STRING: Final = ("string",)
REQUIRED: Final[dict[TableName, dict[str, tuple[str, ...]]]] = {
    "events": {
        "USER_ID": _STRING,
        "ITEM_ID": _STRING,
        "TIMESTAMP": _WHOLE,
        "EVENT_TYPE": _STRING,
        "EVENT_VALUE": _NUMBER,
        "IMPRESSION": _STRING,
        "RECOMMENDATION_ID": _STRING,
        "SESSION_ID": _STRING,
        "EVENT_ID": _STRING,
    },
    "items": {"ITEM_ID": _STRING, "CREATION_TIMESTAMP": _WHOLE},
    "users": {"USER_ID": _STRING},
}
"""Types that reserved columns must have, the usual one first."""

_NEEDED: Final[dict[TableName, tuple[str, ...]]] = {
    "events": ("USER_ID", "ITEM_ID", "TIMESTAMP"),
    "items": ("ITEM_ID",),
    "users": ("USER_ID",),
}
_CALLED: Final[dict[TableName, str]] = {"events": "interactions", "items": "items", "users": "users"}


@dataclass(frozen=True)
class DatasetFile:
    """A file of one table, with the fields of its schema if it has one."""

    table: TableName
    file: TextFile
    fields: tuple[Field, ...] | None


def is_personalize_header(columns: tuple[str, ...]) -> bool:
    """Whether a CSV file with this header may be one of Personalize."""
    return "USER_ID" in columns or "ITEM_ID" in columns


def find(
    folder: Path, names: tuple[str, ...], config: ConvertConfig, findings: Findings
) -> dict[TableName, DatasetFile]:
    """The datasets in a folder.

    Raises `MissingTableError` without interactions, `DataError` for two files of one dataset, `SchemaError` for a
    schema that lacks what Personalize requires, `MissingColumnError` for a file that lacks what its schema says.
    """
    files: dict[TableName, Path] = {}
    for name in names:
        if not name.lower().endswith(".csv"):
            continue
        table = _table_of(name, header(folder / name, ","))
        if table is None:
            findings.note(f"not read: {name}")
            continue
        if table in files:
            raise DataError(
                f"{folder}: {files[table].name} and {name} both look like {_CALLED[table]}", hint="keep one of the two"
            )
        files[table] = folder / name
    if "events" not in files:
        raise MissingTableError(
            f"{folder}: no interactions of Amazon Personalize; it holds {', '.join(names[:8])}",
            hint="a CSV file with the columns USER_ID, ITEM_ID and TIMESTAMP",
        )
    records = _records(folder, names, config)
    for table in records:
        if table not in files:
            findings.note(f"{records[table].path.name}: there is no CSV file of {_CALLED[table]} for this schema")
    return {table: _dataset(table, path, records.get(table), findings) for table, path in files.items()}


def _table_of(name: str, columns: tuple[str, ...]) -> TableName | None:
    """By the ids in the header; a file called interactions is one even where an id is missing."""
    if "interaction" in name.lower() and is_personalize_header(columns):
        return "events"
    if "USER_ID" in columns:
        return "events" if "ITEM_ID" in columns else "users"
    return "items" if "ITEM_ID" in columns else None


def _records(folder: Path, names: tuple[str, ...], config: ConvertConfig) -> dict[TableName, Record]:
    """Schemas by table: those beside the data, and in their place those that were stated."""
    records: dict[TableName, Record] = {}
    for name in names:
        if not name.lower().endswith((".json", ".avsc")):
            continue
        record = read_record(folder / name)
        table = None if record is None else _table_of_record(record)
        if record is None or table is None:
            continue
        if table in records:
            raise DataError(
                f"{folder}: {records[table].path.name} and {name} are both schemas of {_CALLED[table]}",
                hint=f"state one with --{_CALLED[table]}-schema and take the other away",
            )
        records[table] = record
    stated: dict[TableName, Path | None] = {
        "events": config.interactions_schema,
        "items": config.items_schema,
        "users": config.users_schema,
    }
    for table, path in stated.items():
        if path is None:
            continue
        if not path.is_file():
            raise SchemaError(f"{path}: no such file", hint=f"--{_CALLED[table]}-schema names an Avro schema in JSON")
        record = read_record(path)
        if record is None:
            raise SchemaError(f"{path}: no Avro record", hint='it needs "type": "record" and "fields"')
        records[table] = record
    return records


def _table_of_record(record: Record) -> TableName | None:
    called = f"{record.name} {record.path.stem}".lower()
    words: dict[TableName, str] = {"events": "interaction", "items": "item", "users": "user"}
    for table, word in words.items():
        if word in called:
            return table
    return _table_of("", tuple(field.name for field in record.fields))


def _dataset(table: TableName, path: Path, record: Record | None, findings: Findings) -> DatasetFile:
    columns = header(path, ",")
    file = TextFile(path, columns, quoted=True)
    if record is None:
        missing = [name for name in _NEEDED[table] if name not in columns]
        if missing:
            raise MissingColumnError(
                f"{path}: {_CALLED[table]} without {' and '.join(missing)}; there are {', '.join(columns[:8])}",
                hint=f"Personalize requires {', '.join(_NEEDED[table])}",
            )
        findings.note(f"{path.name}: no Avro schema was given; types were found in names and values")
        return DatasetFile(table, file, None)
    _check(table, record)
    absent = [field.name for field in record.fields if field.name not in columns]
    if absent:
        raise MissingColumnError(
            f"{path}: no column {' or '.join(absent)}, which {record.path.name} has; "
            f"there are {', '.join(columns[:8])}",
            hint="correct the header or the schema",
        )
    unknown = [name for name in columns if record.field(name) is None]
    if unknown:
        findings.note(f"{path.name}: not read, since {record.path.name} lacks them: {', '.join(unknown)}")
    loose = [
        field.name
        for field in record.fields
        if field.type == "string" and not (field.categorical or field.textual or field.name in REQUIRED[table])
    ]
    if loose:
        findings.note(f"{record.path.name}: neither categorical nor textual, read as categorical: {', '.join(loose)}")
    return DatasetFile(table, file, record.fields)


def _check(table: TableName, record: Record) -> None:
    missing = [name for name in _NEEDED[table] if record.field(name) is None]
    if missing:
        shown = ", ".join(field.name for field in record.fields[:8])
        raise SchemaError(
            f"{record.path}: the schema of {_CALLED[table]} lacks {' and '.join(missing)}; it has {shown}",
            hint=f"Personalize requires {', '.join(_NEEDED[table])}",
        )
    for field in record.fields:
        allowed = REQUIRED[table].get(field.name)
        if allowed is not None and field.type not in allowed:
            raise SchemaError(
                f"{record.path}, field {field.name}: the type is {field.type}",
                hint=f"Personalize requires {' or '.join(allowed)}",
            )
