"""The base of every configuration: typed, keyword-only, frozen, unknown keys refused.

A setting is declared once, beside the component that it configures; the docstring under it is its help text
(with unit). Configurations nest; a run's ``config.yaml`` is the outermost one, complete.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from palate.errors import ConfigError


class Config(BaseModel):
    """Base class of all configurations."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def to_yaml(self) -> str:
        """The complete configuration as YAML, in the order of declaration."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        return text

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read a configuration; a key that is unknown or a value out of range is a `ConfigError`."""
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such file") from error
        except IsADirectoryError as error:
            raise ConfigError(f"{path}: a folder, not a file") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
        if content is None:
            content = {}
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: expected 'setting: value' lines, found {type(content).__name__}")
        return cls.parse(content, source=str(path))

    @classmethod
    def parse(cls, content: dict[str, object], *, source: str) -> Self:
        """Validate a mapping; ``source`` names it in the error."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, problem['loc'])) or 'value'}: {problem['msg'].lower()}"
                for problem in error.errors()
            ]
            raise ConfigError(f"{source}: " + "; ".join(problems)) from error
