"""Avro record schemas in JSON, as far as Amazon Personalize uses them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palate.errors import SchemaError

_TYPES: Final = ("string", "int", "long", "float", "double", "boolean")
_NAME: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$", re.ASCII)


@dataclass(frozen=True)
class Field:
    """One column."""

    name: str
    type: str
    """string, int, long, float, double or boolean."""
    nullable: bool = False
    categorical: bool = False
    textual: bool = False

    @property
    def whole(self) -> bool:
        """Whether values are whole numbers."""
        return self.type in ("int", "long")

    @property
    def fractional(self) -> bool:
        """Whether values are numbers with decimals."""
        return self.type in ("float", "double")

    def to_dict(self) -> dict[str, object]:
        """The field as Avro has it."""
        content: dict[str, object] = {"name": self.name, "type": [self.type, "null"] if self.nullable else self.type}
        if self.categorical:
            content["categorical"] = True
        if self.textual:
            content["textual"] = True
        return content


@dataclass(frozen=True)
class Record:
    """A schema: its name, its columns, and the file it came from."""

    name: str
    fields: tuple[Field, ...]
    path: Path

    def field(self, name: str) -> Field | None:
        """The field of this name, if there is one."""
        return next((field for field in self.fields if field.name == name), None)


def is_field_name(name: str) -> bool:
    """Whether a name can be one of Avro's: letters, digits and underscores, no digit first."""
    return bool(_NAME.match(name))


def read_record(path: Path) -> Record | None:
    """The record schema in a JSON file; None for JSON that is no record, `SchemaError` for a record that is wrong."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, UnicodeDecodeError) as error:
        raise SchemaError(
            f"{path}: not valid JSON: {' '.join(str(error).split())}", hint="correct it, or take it out of the folder"
        ) from error
    if not isinstance(content, dict) or content.get("type") != "record":
        return None
    fields = content.get("fields")
    if not isinstance(fields, list) or not fields:
        raise SchemaError(f"{path}: a record without fields", hint='it needs "fields": [{"name": …, "type": …}, …]')
    parsed = tuple(_field(path, entry) for entry in fields)
    names = [field.name for field in parsed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(f"{path}: fields given twice: {', '.join(twice)}", hint="take one of each out")
    return Record(str(content.get("name", "")), parsed, path)


def record_json(name: str, fields: Iterable[Field]) -> str:
    """A schema that Personalize takes."""
    content = {
        "type": "record",
        "name": name,
        "namespace": "com.amazonaws.personalize.schema",
        "fields": [field.to_dict() for field in fields],
        "version": "1.0",
    }
    return json.dumps(content, indent=1) + "\n"


def _field(path: Path, entry: object) -> Field:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise SchemaError(f"{path}: a field without a name: {json.dumps(entry)[:80]}")
    name: str = entry["name"]
    given = entry.get("type")
    union = given if isinstance(given, list) else [given]
    types = [each for each in union if each != "null"]
    if len(types) != 1 or types[0] not in _TYPES:
        raise SchemaError(
            f"{path}, field {name}: the type {json.dumps(given)} can't be read",
            hint=f"one of {', '.join(_TYPES)}, alone or in a list with null",
        )
    return Field(
        name,
        types[0],
        nullable="null" in union,
        categorical=entry.get("categorical") is True,
        textual=entry.get("textual") is True,
    )
