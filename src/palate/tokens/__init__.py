"""Tokens: encode fields, cut windows, pack and batch."""

from palate.tokens.asked import Asked
from palate.tokens.assemble import assemble
from palate.tokens.batch import Batch, Catalogue, Familiar, FieldSpec, HeadSource, HeadSpec, Rectangle, Side
from palate.tokens.catalogue import present_catalogue, training_catalogue
from palate.tokens.columns import Columns
from palate.tokens.config import TokenizerConfig
from palate.tokens.folder import read_tokenizer, write_tokenizer
from palate.tokens.heads import class_names, heads
from palate.tokens.merges import Merges
from palate.tokens.open_runs import OpenRuns, with_open_runs
from palate.tokens.pack import Pack, PackConfig, pack, pack_in_order, rectangles
from palate.tokens.store import TokenStore
from palate.tokens.tokenizer import Tokenizer
from palate.tokens.tradeoff import TradeOff, TradeOffs, trade_offs
from palate.tokens.vocabulary import Vocabulary
from palate.tokens.windows import WindowConfig, Windows, query_windows, training_windows

__all__ = [
    "Asked",
    "Batch",
    "Catalogue",
    "Columns",
    "Familiar",
    "FieldSpec",
    "HeadSource",
    "HeadSpec",
    "Merges",
    "OpenRuns",
    "Pack",
    "PackConfig",
    "Rectangle",
    "Side",
    "TokenStore",
    "Tokenizer",
    "TokenizerConfig",
    "TradeOff",
    "TradeOffs",
    "Vocabulary",
    "WindowConfig",
    "Windows",
    "assemble",
    "class_names",
    "heads",
    "pack",
    "pack_in_order",
    "present_catalogue",
    "query_windows",
    "read_tokenizer",
    "rectangles",
    "trade_offs",
    "training_catalogue",
    "training_windows",
    "with_open_runs",
    "write_tokenizer",
]
