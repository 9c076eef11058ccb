"""If these fail, new titles are described in other words than those learned, or hidden titles leak into them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.data import Column, Dataset, Kind, Role, Schema
from palate.errors import ColumnTypeError, ConfigError, DamagedRunError
from palate.tokens.metadata import ItemMetadata, MetadataArrays, MetadataConfig, MetadataKind, MetadataSpec
from palate.tokens.metadata_fields import BucketField, CategoryField, UselessColumnError, VectorField
from palate.tokens.text import TextField
from palate.words import FIRST_KNOWN, PADDING, UNKNOWN

TRAINED = 60
ITEMS = 80
GENRES = ("drama", "comedy", "crime", "war")
WORDS = ("night", "river", "king", "garden", "storm", "silver", "return", "city")


def catalogue(seed: int = 0) -> pl.DataFrame:
    """A column of every kind; the last 20 items are not trained."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(2, 3, (ITEMS, 3)).astype(np.float32)
    return pl.DataFrame(
        {
            "item_id": [f"i{number:02d}" for number in range(ITEMS)],
            "launch_time": 1_600_000_000_000 + np.arange(ITEMS) * 86_400_000,
            "title": [" ".join(rng.choice(WORDS, 3)) if number % 7 else None for number in range(ITEMS)],
            "group_id": [f"g{number // 2:02d}" if number % 3 else None for number in range(ITEMS)],
            "entity_type": rng.choice(["film", "episode"], ITEMS),
            "genres": [sorted(rng.choice(GENRES, rng.integers(1, 4), replace=False)) for _ in range(ITEMS)],
            "code": [f"code-{number}" for number in range(ITEMS)],
            "minutes": rng.integers(20, 180, ITEMS).astype(np.float64),
            "released": rng.integers(0, 10**12, ITEMS),
            "vector": pl.Series([list(row) if n % 5 else None for n, row in enumerate(vectors)]).cast(
                pl.Array(pl.Float32, 3)
            ),
        }
    )


KINDS = {
    "title": Kind.TEXT,
    "group_id": Kind.CATEGORICAL,
    "entity_type": Kind.CATEGORICAL,
    "genres": Kind.MULTI_CATEGORICAL,
    "code": Kind.CATEGORICAL,
    "minutes": Kind.NUMERIC,
    "released": Kind.TIMESTAMP,
    "vector": Kind.VECTOR,
}
SCHEMA = Schema(items={name: Column(role=Role.ITEM_METADATA, kind=kind) for name, kind in KINDS.items()})
CONFIG = MetadataConfig(text_width=4)


def fitted(items: pl.DataFrame, config: MetadataConfig = CONFIG) -> ItemMetadata:
    metadata = ItemMetadata.fit(items, SCHEMA, items["item_id"].head(TRAINED), config)
    assert metadata is not None
    return metadata


def part(arrays: MetadataArrays, spec: MetadataSpec) -> np.ndarray:
    whole = arrays.ids if spec.kind == MetadataKind.CATEGORY else arrays.vectors
    return whole[:, spec.start : spec.start + spec.width]


def columns(metadata: ItemMetadata, arrays: MetadataArrays) -> dict[str, np.ndarray]:
    return {spec.name: part(arrays, spec) for spec in metadata.specs}


def same(left: MetadataArrays, right: MetadataArrays) -> bool:
    return left.ids.tobytes() == right.ids.tobytes() and left.vectors.tobytes() == right.vectors.tobytes()


def test_every_kind_has_its_place() -> None:
    items = catalogue()
    metadata = fitted(items)
    arrays = metadata.encode(items, items["item_id"])
    assert [spec.name for spec in metadata.specs] == [name for name in KINDS if name != "code"]
    for spec in metadata.specs:
        own = part(arrays, spec)
        assert own.shape == (ITEMS, spec.width)
        if spec.kind == MetadataKind.CATEGORY:
            assert own.min() >= PADDING
            assert own.max() < spec.size
            assert (own[:, 0] != PADDING).all(), f"{spec.name}: padding where there is an item"
        else:
            assert spec.size == 0
    widths = {spec.kind: 0 for spec in metadata.specs}
    for spec in metadata.specs:
        assert spec.start == widths[spec.kind], "columns lie next to each other"
        widths[spec.kind] += spec.width
    assert (arrays.ids.shape[1], arrays.vectors.shape[1]) == (
        widths[MetadataKind.CATEGORY],
        widths[MetadataKind.VECTOR],
    )
    assert np.isfinite(arrays.vectors).all()


def test_launch_time_is_no_metadata() -> None:
    assert "launch_time" not in [spec.name for spec in fitted(catalogue()).specs]


def test_only_trained_items_are_learned_from() -> None:
    """Changing the metadata of any other item changes nothing that was fitted."""
    items = catalogue()
    other = pl.concat([items.head(TRAINED), catalogue(seed=1).tail(ITEMS - TRAINED)])
    other = other.with_columns(
        pl.when(pl.int_range(pl.len()) < TRAINED).then("title").otherwise(pl.lit("wholly other words")).alias("title")
    )
    metadata, changed = fitted(items), fitted(other)
    assert metadata.digest() == changed.digest()
    trained = items["item_id"].head(TRAINED)
    assert same(metadata.encode(items, trained), changed.encode(other, trained))


def test_the_order_of_rows_has_no_influence() -> None:
    items = catalogue()
    shuffled = items.sample(fraction=1, shuffle=True, seed=3)
    again = ItemMetadata.fit(shuffled, SCHEMA, items["item_id"].head(TRAINED).reverse(), CONFIG)
    assert again is not None
    assert again.digest() == fitted(items).digest()
    assert same(fitted(items).encode(items, items["item_id"]), again.encode(shuffled, items["item_id"]))


def test_each_item_is_encoded_by_itself() -> None:
    items = catalogue()
    metadata = fitted(items)
    whole = metadata.encode(items, items["item_id"])
    some = metadata.encode(items, items["item_id"][[70, 3, 3]])
    np.testing.assert_array_equal(some.ids, whole.ids[[70, 3, 3]])
    np.testing.assert_array_equal(some.vectors, whole.vectors[[70, 3, 3]])


def test_an_item_without_a_row_is_unknown() -> None:
    metadata = fitted(catalogue())
    for items in (catalogue(), None):
        found = columns(metadata, metadata.encode(items, pl.Series(["nobody"])))
        for spec in metadata.specs:
            if spec.kind == MetadataKind.CATEGORY:
                assert found[spec.name][0].tolist() == [UNKNOWN] + [PADDING] * (spec.width - 1)
            else:
                assert not found[spec.name].any()


def test_a_column_that_is_gone_is_unknown() -> None:
    items = catalogue()
    metadata = fitted(items)
    found = columns(metadata, metadata.encode(items.drop("genres", "vector"), items["item_id"]))
    assert (found["genres"][:, 0] == UNKNOWN).all()
    assert not found["vector"].any()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    items = catalogue()
    metadata = fitted(items)
    metadata.write(tmp_path)
    again = ItemMetadata.read(tmp_path)
    assert (again.specs, again.config, again.left_out) == (metadata.specs, metadata.config, metadata.left_out)
    assert again.digest() == metadata.digest()
    assert same(again.encode(items, items["item_id"]), metadata.encode(items, items["item_id"]))


def test_no_file_is_pickled(tmp_path: Path) -> None:
    fitted(catalogue()).write(tmp_path)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".parquet", ".safetensors"}


@pytest.mark.parametrize("suffix", [".parquet", ".safetensors", ".json"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str, how: str) -> None:
    fitted(catalogue()).write(tmp_path)
    file = next(path for path in sorted(tmp_path.rglob("*")) if path.suffix == suffix)
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        file.unlink()
    with pytest.raises(DamagedRunError, match="metadata"):
        ItemMetadata.read(tmp_path)


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    fitted(catalogue()).write(tmp_path)
    entries = json.loads((tmp_path / "metadata.json").read_text(encoding="utf-8"))["fields"]
    file = tmp_path / next(entry["file"] for entry in entries if entry["name"] == "genres")
    table = pl.read_parquet(file.with_suffix(".parquet"))
    table.reverse().write_parquet(file.with_suffix(".parquet"))
    with pytest.raises(DamagedRunError, match="genres"):
        ItemMetadata.read(tmp_path)


def test_an_id_in_disguise_is_left_out_and_the_reason_kept() -> None:
    metadata = fitted(catalogue())
    assert set(metadata.left_out) == {"code"}
    assert "like an id" in metadata.left_out["code"]


def test_groups_are_shared_by_few_and_stay() -> None:
    items = catalogue().with_columns(group_id=pl.Series([f"g{number // 2}" for number in range(ITEMS)]))
    assert "group_id" in [spec.name for spec in fitted(items).specs]
    renamed = items.rename({"group_id": "pair"}).with_columns(
        pair=pl.Series([f"g{number // 2 if number < 40 else number}" for number in range(ITEMS)])
    )
    schema = Schema(items={"pair": SCHEMA.items["group_id"], "genres": SCHEMA.items["genres"]})
    metadata = ItemMetadata.fit(renamed, schema, items["item_id"].head(TRAINED))
    assert metadata is not None
    assert set(metadata.left_out) == {"pair"}
    stated = ItemMetadata.fit(
        renamed, schema, items["item_id"].head(TRAINED), MetadataConfig(columns=("pair", "genres"))
    )
    assert stated is not None
    assert not stated.left_out, "a column that was stated is used"


def test_stated_columns_are_those_used() -> None:
    metadata = fitted(catalogue(), MetadataConfig(columns=("genres", "minutes")))
    assert [spec.name for spec in metadata.specs] == ["genres", "minutes"]
    with pytest.raises(ConfigError, match="colour"):
        fitted(catalogue(), MetadataConfig(columns=("colour",)))


def test_nothing_usable_gives_none() -> None:
    items = catalogue()
    trained = items["item_id"].head(TRAINED)
    assert ItemMetadata.fit(None, SCHEMA, trained) is None
    assert ItemMetadata.fit(items, Schema(), trained) is None
    assert ItemMetadata.fit(items, SCHEMA, pl.Series(["nobody"])) is None
    only_code = Schema(items={"code": SCHEMA.items["code"]})
    assert ItemMetadata.fit(items, only_code, trained) is None


def category(cells: list[object], *, min_count: int = 2, max_values: int = 16, limit: int = 100) -> CategoryField:
    return CategoryField.fit(
        pl.Series("x", cells), max_categories=limit, max_values=max_values, min_count=min_count, may_be_id=False
    )


def test_values_of_too_few_items_are_unknown() -> None:
    field = category(["a", "a", "a", "b", "b", "c", None])
    assert field.encode(pl.Series(["a", "b", "c", None, "d"])).ravel().tolist() == [2, 3, UNKNOWN, UNKNOWN, UNKNOWN]


def test_of_several_values_the_known_ones_are_kept() -> None:
    cells = [["a", "b"], ["a", "b"], ["a", "rare"], ["c"], ["c"], None]
    field = category(cells)
    assert field.width == 2
    encoded = field.encode(pl.Series([["rare", "b", "a"], ["b", "b"], ["rare"], [], None, ["a", "b", "c"]]))
    assert encoded.tolist() == [[3, 2], [3, 0], [UNKNOWN, 0], [UNKNOWN, 0], [UNKNOWN, 0], [2, 3]]


def test_values_beyond_the_most_are_cut() -> None:
    assert category([["a", "b", "c"], ["a", "b", "c"], ["a"]], max_values=2).width == 2


@given(
    st.lists(
        st.one_of(st.none(), st.lists(st.one_of(st.none(), st.sampled_from("abcdefg")), max_size=6)),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 3),
)
@settings(deadline=None)
def test_several_values_against_a_plain_loop(cells: list[list[str | None] | None], min_count: int) -> None:
    column = pl.Series("x", cells, dtype=pl.List(pl.String))
    try:
        field = CategoryField.fit(column, max_categories=100, max_values=4, min_count=min_count, may_be_id=True)
    except UselessColumnError:
        return
    index = {value: FIRST_KNOWN + place for place, value in enumerate(field.vocabulary.values)}
    counts = {value: sum(value in (cell or []) for cell in cells) for value in "abcdefg"}
    assert set(index) == {value for value, count in counts.items() if count >= min_count}
    encoded = field.encode(column)
    for row, cell in zip(encoded.tolist(), cells, strict=True):
        known = [index[value] for value in dict.fromkeys(cell or []) if value in index][: field.width] or [UNKNOWN]
        assert row == known + [PADDING] * (field.width - len(known))


def test_a_column_of_another_type_is_named() -> None:
    with pytest.raises(ColumnTypeError, match="'x'"):
        category(["a", "a", "b", "b"]).encode(pl.Series([["a"]]))
    with pytest.raises(ColumnTypeError, match="'x'"):
        category([["a"], ["a"], ["b"], ["b"]]).encode(pl.Series(["a"]))
    with pytest.raises(ColumnTypeError, match="'x'"):
        BucketField.fit(pl.Series("x", range(50)), buckets=4).encode(pl.Series(["a"]))
    with pytest.raises(ColumnTypeError, match="'x'"):
        TextField.fit(pl.Series("x", ["silver night"] * 2), width=2).encode(pl.Series([1]))


def test_numbers_become_quantiles_that_hold_some_items() -> None:
    field = BucketField.fit(pl.Series("x", range(100), dtype=pl.Float64), buckets=32)
    assert np.bincount(field.encode(pl.Series(range(100))).ravel()).tolist() == [0, 0] + [10] * 10
    assert field.encode(pl.Series([None, -5.0, 1e9])).ravel().tolist() == [UNKNOWN, FIRST_KNOWN, field.size - 1]


def test_vectors_are_standardised_and_missing_told_apart() -> None:
    values = np.random.default_rng(0).normal([5, -1, 3], [2, 0.1, 0], (50, 3))
    column = pl.Series("x", [None, *map(list, values)]).cast(pl.Array(pl.Float32, 3))
    field = VectorField.fit(column)
    encoded = field.encode(column)
    assert encoded[0].tolist() == [0, 0, 0, 0]
    assert (encoded[1:, -1] == 1).all()
    np.testing.assert_allclose(encoded[1:, :2].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(encoded[1:, :2].std(axis=0), 1, atol=1e-4)
    assert (encoded[:, 2] == 0).all(), "a constant dimension tells nothing"
    far = field.encode(pl.Series("x", [[1e6, -1.0, 3.0]]))
    assert far[0, 0] == 10


@pytest.mark.parametrize("wrong", [[[1.0, 2.0]], [[1.0, 2.0, 3.0], [1.0]]])
def test_vectors_of_other_lengths_are_named(wrong: list[list[float]]) -> None:
    field = VectorField.fit(pl.Series("x", [[1.0, 2.0, 3.0], [2.0, 2.0, 1.0]]))
    with pytest.raises(ColumnTypeError, match="'x'"):
        field.encode(pl.Series("x", wrong))


def test_texts_that_share_words_are_alike() -> None:
    texts = ["the silver king", "return of the silver king", "night river", "a river by night", "city storm"] * 3
    column = pl.Series("x", [*texts, None])
    field = TextField.fit(column, width=4)
    encoded = field.encode(column)
    np.testing.assert_allclose(np.linalg.norm(encoded[:-1, :-1], axis=1), 1, atol=1e-5)
    assert encoded[-1].tolist() == [0] * field.width
    assert encoded[0, :-1] @ encoded[1, :-1] > 0.7
    assert encoded[0, :-1] @ encoded[2, :-1] < 0.3
    stranger = field.encode(pl.Series(["zzz", "zzz silver king", ""]))
    assert stranger[0].tolist() == [0] * (field.width - 1) + [1], "a text, of which no word is known"
    np.testing.assert_allclose(stranger[1, :-1], field.encode(pl.Series(["silver king"]))[0, :-1], atol=1e-6)


@pytest.mark.parametrize("texts", [["one", "two", "three"], [None, None], ["alone"], ["a night", "the night"]])
def test_texts_without_a_shared_word_are_left_out(texts: list[str | None]) -> None:
    with pytest.raises(UselessColumnError, match="trained items share"):
        TextField.fit(pl.Series("x", texts, dtype=pl.String), width=4)


def test_equal_texts_are_no_error() -> None:
    assert TextField.fit(pl.Series("x", ["the night"] * 3), width=4).encode(pl.Series(["the night"])).shape[1] <= 5


def test_columns_that_say_nothing_are_left_out() -> None:
    with pytest.raises(UselessColumnError, match="same"):
        category(["a"] * 5)
    with pytest.raises(UselessColumnError, match="no value"):
        category(["a", "b", None])
    with pytest.raises(UselessColumnError, match="same"):
        BucketField.fit(pl.Series("x", [None, None], dtype=pl.Float64), buckets=4)
    with pytest.raises(UselessColumnError, match="same"):
        VectorField.fit(pl.Series("x", [[1.0, 2.0], None, [1.0, 2.0]]))


def test_what_a_dataset_delivers_is_understood() -> None:
    """The types of every kind are those that reading makes, from text cells too."""
    items = catalogue().with_columns(pl.col("genres").list.join("|"))
    events = pl.DataFrame({"user_id": ["a", "b"] * 30, "item_id": items["item_id"].head(60), "timestamp": range(60)})
    dataset = Dataset.from_frames(events, items)
    assert dataset.items is not None
    metadata = ItemMetadata.fit(dataset.items, dataset.schema, dataset.events["item_id"].unique(), CONFIG)
    assert metadata is not None
    kinds = {spec.name: spec.kind for spec in metadata.specs}
    assert kinds["vector"] == kinds["title"] == MetadataKind.VECTOR
    assert kinds["genres"] == kinds["group_id"] == kinds["minutes"] == MetadataKind.CATEGORY
    arrays = metadata.encode(dataset.items, dataset.items["item_id"])
    assert (
        hashlib.sha256(arrays.ids).digest()
        == hashlib.sha256(metadata.encode(dataset.items, dataset.items["item_id"]).ids).digest()
    )


def test_the_same_texts_again_get_the_same_vectors() -> None:
    """And others their own: what is kept is told by content, so a text that was edited is read."""
    some = ["silver night", "night river", None, "silver river"]
    texts = pl.Series("x", some * 50)
    field = TextField.fit(texts, width=2)
    first = field.encode(texts)
    assert field.encode(texts.clone()) is first
    edited = field.encode(pl.Series("x", ["night river", *some[1:]] * 50))
    np.testing.assert_array_equal(edited[0], first[1])
    assert field.encode(texts) is first, "two are kept"
    assert not field.encode(pl.Series("x", [None] * 200, dtype=pl.String)).any()
    alone = field.encode(pl.Series("x", some))
    alone[:] = 0  # short ones are the caller's
    np.testing.assert_array_equal(field.encode(pl.Series("x", some)), first[:4])
