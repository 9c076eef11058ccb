"""What to do about what a dataset is like: checks, their thresholds, and a page that shows it all."""

from palate.data.advice.advise import advise
from palate.data.advice.config import AdviceConfig
from palate.data.advice.evidence import Evidence
from palate.data.advice.finding import Finding, Severity, at_least
from palate.data.advice.parts import PartFigures

__all__ = ["AdviceConfig", "Evidence", "Finding", "PartFigures", "Severity", "advise", "at_least"]
