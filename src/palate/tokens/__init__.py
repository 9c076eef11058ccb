"""Tokens: encode fields, cut windows, pack and batch."""

from palate.tokens.assemble import assemble
from palate.tokens.batch import Batch, FieldSpec, Rectangle, Side
from palate.tokens.columns import Columns
from palate.tokens.config import TokenizerConfig
from palate.tokens.merges import Merges
from palate.tokens.open_runs import OpenRuns, with_open_runs
from palate.tokens.pack import Pack, PackConfig, pack, pack_in_order, rectangles
from palate.tokens.store import TokenStore
from palate.tokens.tokenizer import Tokenizer
from palate.tokens.tradeoff import TradeOff, TradeOffs, trade_offs
from palate.tokens.vocabulary import Vocabulary
from palate.tokens.windows import WindowConfig, Windows, query_windows, training_windows

__all__ = [
    "Batch",
    "Columns",
    "FieldSpec",
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
    "pack",
    "pack_in_order",
    "query_windows",
    "rectangles",
    "trade_offs",
    "training_windows",
    "with_open_runs",
]
