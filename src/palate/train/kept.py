"""The fitted tokenizer of a training that is under way, kept in its work folder.

A training that goes on reads it instead of fitting anew: texts are described by a singular value decomposition, which
need not come out the same to the last bit, and fitting a large log takes long. A note says what it was fitted on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from palate.errors import UnfinishedRunError
from palate.files import new_folder
from palate.tokens import Tokenizer, TokenizerConfig, read_tokenizer, write_tokenizer
from palate.train.log import Log

_NOTE: Final = "fitted.json"


def fitted(log: Log, config: TokenizerConfig, folder: Path) -> Tokenizer:
    """The tokenizer that is kept in ``folder``, or a new one, which is not kept yet.

    Raises `UnfinishedRunError` where the one that is kept was fitted on other data or with other settings.
    """
    if not folder.exists():
        return Tokenizer.fit_parts(log.parts, config)
    note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    for what, now in _note(log, config).items():
        if note[what] != now:
            raise UnfinishedRunError(
                f"{folder.parent} was made with other {what}",
                hint=f"resume with the same {what}, or delete the folder and start again",
            )
    return read_tokenizer(folder)


def keep(tokenizer: Tokenizer, log: Log, config: TokenizerConfig, folder: Path) -> Tokenizer:
    """Keep it, where none is kept, in a folder that appears whole; returns it as whoever goes on will read it."""
    if not folder.exists():
        with new_folder(folder) as aside:
            write_tokenizer(tokenizer, aside)
            (aside / _NOTE).write_text(json.dumps(_note(log, config)), encoding="utf-8")
    return read_tokenizer(folder)


def _note(log: Log, config: TokenizerConfig) -> dict[str, str]:
    return {"data": log.source, "settings": config.model_dump_json()}
