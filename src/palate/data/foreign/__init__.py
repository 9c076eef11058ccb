"""Logs in other people's formats: MovieLens, Amazon Personalize, RecBole; read, and two of them written."""

from palate.data.foreign.config import ConvertConfig, Format
from palate.data.foreign.convert import convert, find_format
from palate.data.foreign.export import Target, export
from palate.data.foreign.write import Conversion

__all__ = ["Conversion", "ConvertConfig", "Format", "Target", "convert", "export", "find_format"]
