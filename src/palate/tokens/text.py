"""Text of items as dense vectors: TF-IDF of words and pairs of words, then latent semantic analysis.

The TF-IDF matrix of the trained items' texts is cut to its strongest right singular vectors (Deerwester et al.,
"Indexing by latent semantic analysis", JASIS 1990), found by random projections (Halko, Martinsson and Tropp, "Finding
structure with randomness", SIAM Review 2011). A text is then the length-normalised product of its TF-IDF row with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from palate.errors import ColumnTypeError
from palate.tokens.batch import MetadataKind
from palate.tokens.metadata_fields import Stored, UselessColumnError

MAX_TERMS: Final = 20_000
"""Terms that are kept, the most frequent."""
_SEED: Final = 0
_KEPT: Final = 2
"""Columns of texts whose vectors are kept: those of an items table, and of what it lacks."""
_WORTH_KEEPING: Final = 100
"""Shorter columns are encoded at once."""
_ROWS: Final = 1 << 16
"""Texts that are turned into vectors at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TextField:
    """A text as a vector of length 1, and behind it whether there is a text."""

    form: ClassVar = "text"
    kind: ClassVar = MetadataKind.VECTOR
    name: str
    terms: pl.Series
    """[terms] words and pairs of words, ascending; named ``term``."""
    idf: NDArray[np.float32]
    """[terms] their inverse document frequencies."""
    components: NDArray[np.float32]
    """[N, terms] the strongest right singular vectors."""
    size: int = 0
    _last: list[tuple[pl.Series, NDArray[np.float32]]] = field(default_factory=list, init=False, repr=False)
    """The last texts and what they became, at most `_KEPT`: who asks a model again mostly has the same items."""

    @classmethod
    def fit(cls, column: pl.Series, *, width: int) -> TextField:
        """Learn terms, their weights and up to ``width`` directions; `UselessColumnError` where texts share no term."""
        from sklearn.decomposition import TruncatedSVD

        texts = column.drop_nulls()
        vectorizer = _vectorizer()
        try:
            weighted = vectorizer.fit_transform(texts.to_list())
        except ValueError as error:  # what scikit-learn raises where no term is left
            raise UselessColumnError("trained items share no word") from error
        if weighted.shape[1] < 2:
            raise UselessColumnError("trained items share a single word")
        terms = pl.Series("term", vectorizer.get_feature_names_out().tolist(), dtype=pl.String)
        idf = np.asarray(vectorizer.idf_, dtype=np.float32)
        decomposition = TruncatedSVD(n_components=min(width, *weighted.shape), random_state=_SEED)
        with np.errstate(
            invalid="ignore"
        ):  # the share of the variance, which nobody reads, of texts that are all equal
            decomposition.fit(weighted)
        components = np.ascontiguousarray(decomposition.components_, dtype=np.float32)
        return cls(name=column.name, terms=terms, idf=idf, components=components)

    @property
    def width(self) -> int:
        """Dimensions and one for presence."""
        return len(self.components) + 1

    def weigh(self, column: pl.Series) -> sparse.csr_array:
        """TF-IDF rows of length 1, float32 [V, terms]; empty where there is no known term."""
        if column.dtype == pl.Null:
            return sparse.csr_array((len(column), len(self.terms)), dtype=np.float32)
        if column.dtype != pl.String:
            raise ColumnTypeError(
                f"column {self.name!r} holds {column.dtype}, but the run was trained on text",
                hint="give the column the kind that it had in training",
            )
        return sparse.csr_array(self._fitted.transform(column.fill_null("").to_list()), dtype=np.float32)

    def encode(self, column: pl.Series) -> NDArray[np.float32]:
        """The vector and a 1; zeros and a 1 for a text without a known term; all 0 where there is no text.

        Not to be written to: the same texts again may get the same array.
        """
        for number, (texts, before) in enumerate(self._last):
            if texts.equals(column, check_dtypes=True):
                self._last.insert(0, self._last.pop(number))
                return before
        encoded = np.zeros((len(column), self.width), dtype=np.float32)
        for start in range(0, len(column), _ROWS):
            piece = column[start : start + _ROWS]
            vectors = self.weigh(piece) @ self.components.T
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            encoded[start : start + _ROWS, :-1] = vectors / np.where(norms > 0, norms, 1)
            encoded[start : start + _ROWS, -1] = piece.is_not_null().to_numpy()
        if len(column) >= _WORTH_KEEPING:
            encoded.flags.writeable = False
            self._last[:] = [(column, encoded), *self._last[: _KEPT - 1]]
        return encoded

    @cached_property
    def _fitted(self) -> Any:
        vectorizer = _vectorizer(vocabulary=self.terms.to_list())
        vectorizer.idf_ = self.idf
        return vectorizer

    def store(self) -> Stored:
        """Terms, weights and directions."""
        return Stored({}, self.terms.to_frame(), {"idf": self.idf, "components": self.components})

    @classmethod
    def restore(cls, name: str, stored: Stored) -> TextField:
        """The field of these terms, weights and directions."""
        assert stored.table is not None
        assert stored.arrays is not None
        arrays = stored.arrays
        return cls(name=name, terms=stored.table["term"], idf=arrays["idf"], components=arrays["components"])


def _vectorizer(vocabulary: list[str] | None = None) -> Any:
    """scikit-learn's TF-IDF; every setting that shapes a term is stated here, so that its defaults may change."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        lowercase=True,
        token_pattern=r"(?u)\b\w\w+\b",
        ngram_range=(1, 2),
        min_df=2,
        max_features=MAX_TERMS,
        vocabulary=vocabulary,
        norm="l2",
        use_idf=True,
        smooth_idf=True,
        sublinear_tf=True,
        dtype=np.float32,
    )
