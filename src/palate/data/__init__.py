"""Reading, checking, describing and dividing event logs."""

from palate.data.adjacent import run_starts, session_starts
from palate.data.availability import AVAILABLE_FROM, available_from
from palate.data.codes import repeats
from palate.data.dataset import Dataset
from palate.data.hashing import mix, stable_hash
from palate.data.inspect import Inspection, inspect
from palate.data.large.config import PrepareConfig
from palate.data.large.prepare import prepare
from palate.data.large.prepared import LogPart, PreparedLog
from palate.data.large.split import PartedSplit, divided_parts, split_parts
from palate.data.report import INFERRED, Fault, Repair, Report
from palate.data.rule import RunRule, SplitRule
from palate.data.schema import ANY_TYPE, SCHEMA_FILE, SCHEMA_VERSION, Column, Kind, Merge, Role, Schema, SeenItems
from palate.data.split import HISTORY_LENGTH, Part, Split, has_target_type, is_target, present_queries, queries, split

__all__ = [
    "ANY_TYPE",
    "AVAILABLE_FROM",
    "HISTORY_LENGTH",
    "INFERRED",
    "SCHEMA_FILE",
    "SCHEMA_VERSION",
    "Column",
    "Dataset",
    "Fault",
    "Inspection",
    "Kind",
    "LogPart",
    "Merge",
    "Part",
    "PartedSplit",
    "PrepareConfig",
    "PreparedLog",
    "Repair",
    "Report",
    "Role",
    "RunRule",
    "Schema",
    "SeenItems",
    "Split",
    "SplitRule",
    "available_from",
    "divided_parts",
    "has_target_type",
    "inspect",
    "is_target",
    "mix",
    "prepare",
    "present_queries",
    "queries",
    "repeats",
    "run_starts",
    "session_starts",
    "split",
    "split_parts",
    "stable_hash",
]
