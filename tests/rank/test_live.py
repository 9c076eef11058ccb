"""If these fail, what a service answers from its caches is not what the model says."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.worlds import everything, items_table, with_items, world

from palate.data import split
from palate.errors import ConfigError
from palate.model import SasRecConfig, SequenceModel, TowerConfig, TransformerConfig
from palate.model.cache import CacheConfig
from palate.rank.decode import decode
from palate.rank.live import LiveMembers
from palate.rank.member_rows import History, Questions
from palate.rank.versions import ItemVersions
from palate.runs import network
from palate.tokens import Catalogue, Tokenizer, TokenStore, WindowConfig, present_catalogue
from palate.words import FIRST_KNOWN

DENSE = TransformerConfig(width=16, heads=2, blocks=2)
WINDOWED = TransformerConfig(width=16, heads=2, blocks=2, window=4, block=2, summaries=2, rank=2)
MEMBERS = range(5)


@cache
def trained(
    encoder: TransformerConfig, gate: Literal["training", "moment"]
) -> tuple[SequenceModel, Tokenizer, TokenStore]:
    """A model of random weights, and the tokens of a log whose members have about 30 events."""
    dataset = world(3, members=40)
    config = everything(encoder=encoder, tower=TowerConfig(gate=gate))
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    torch.manual_seed(1)
    model = network(config.model, tokenizer, context=500)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval(), tokenizer, tokenizer.encode(dataset)


class World:
    """Members whose histories grow token by token; those of all members of the log, end to end."""

    def __init__(
        self,
        encoder: TransformerConfig = DENSE,
        *,
        gate: Literal["training", "moment"] = "training",
        windows: WindowConfig | None = None,
        keep: int = 2,
        cache: CacheConfig | None = None,
    ) -> None:
        model, self.tokenizer, self.tokens = trained(encoder, gate)
        self.dataset = world(3, members=40)
        self.edits = 0
        self.versions = ItemVersions(model, self.tokenizer, self.catalogue(0), keep=keep)
        height = len(self.tokens.begin)
        self.begin = [height * member // len(MEMBERS) for member in MEMBERS]
        self.length = [0] * len(MEMBERS)
        self.known: list[list[int]] = [[] for _ in MEMBERS]
        self.open = [0] * len(MEMBERS)
        self.changes = 0
        self.live = LiveMembers(
            model, self.versions, self.history, windows=windows or WindowConfig(context=500), config=cache
        )

    def catalogue(self, seed: int) -> Catalogue:
        return present_catalogue(self.tokenizer, with_items(self.dataset, items_table(seed)), rolling=False)

    def history(self, member: Hashable) -> History:
        assert isinstance(member, int)
        begin, length = self.begin[member], self.length[member]
        own = History.of(self.tokens, begin, begin + length, open_tokens=min(self.open[member], length))
        # What is open may change.
        ids, values = own.ids.copy(), own.values.copy()
        values[own.closed :, : self.tokenizer.post_values] += self.changes
        return own._replace(ids=ids, values=values, version=np.array(self.known[member], dtype=np.int64))

    def append(self, member: int, count: int) -> None:
        count = min(count, len(self.tokens.begin) // len(MEMBERS) - 1 - self.length[member])
        self.length[member] += count
        self.known[member] += [self.versions.number] * count
        self.open[member] = 0

    def edit(self) -> None:
        self.edits += 1
        self.versions.edit(self.tokenizer, self.catalogue(self.edits))

    def questions(self, members: list[int]) -> Questions:
        rows = np.array([self.begin[member] + self.length[member] for member in members])
        post, values = self.tokenizer.post_columns, self.tokenizer.post_values
        return Questions(self.tokens.ids[rows, post:], self.tokens.values[rows, values:], self.tokens.time[rows] + 1000)

    def agrees(self, members: list[int], tolerance: float = 1e-4) -> None:
        asked = self.questions(members)
        found, plain = self.live.states(members, asked), self.live.recomputed(members, asked)
        torch.testing.assert_close(found, plain, rtol=tolerance, atol=tolerance)


member = st.integers(0, len(MEMBERS) - 1)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), member, st.integers(1, 12)),
        st.tuples(st.just("append"), member, st.just(1)),
        st.tuples(st.just("eager"), member, st.integers(1, 3)),
        st.tuples(st.just("open"), member, st.integers(0, 3)),
        st.tuples(st.just("ask"), st.lists(member, min_size=1, max_size=6), st.none()),
        st.tuples(st.just("evict"), member, st.none()),
        st.tuples(st.just("edit"), st.none(), st.none()),
    ),
    min_size=1,
    max_size=25,
)
views = st.sampled_from([(500, 1), (9, 1), (9, 4), (12, 12), (20, 7)])


@pytest.mark.parametrize("encoder", [DENSE, WINDOWED], ids=["dense", "windowed"])
@settings(max_examples=30, deadline=None)
@given(
    todo=operations,
    view=views,
    keep=st.integers(1, 3),
    megabytes=st.sampled_from([0, 0.02, 0.05, 10]),
    gate=st.sampled_from(["training", "moment"]),
    steps=st.sampled_from([1, 4, 100]),
)
def test_cached_and_recomputed_states_agree(
    encoder: TransformerConfig,
    todo: list[tuple[str, object, object]],
    view: tuple[int, int],
    keep: int,
    megabytes: float,
    gate: Literal["training", "moment"],
    steps: int,
) -> None:
    """After any sequence of events, questions, evictions and edits of metadata."""
    there = World(
        encoder,
        gate=gate,
        windows=WindowConfig(context=view[0], slide=view[1]),
        keep=keep,
        cache=CacheConfig(megabytes=megabytes, steps=steps),
    )
    for what, who, count in todo:
        if what in ("append", "eager"):
            assert isinstance(who, int)
            assert isinstance(count, int)
            there.append(who, count)
            if what == "eager":
                there.live.append([who])
        elif what == "open":
            assert isinstance(who, int)
            assert isinstance(count, int)
            # Only what is new can be open.
            there.append(who, count)
            there.open[who] = count
        elif what == "ask":
            assert isinstance(who, list)
            there.changes += 1
            there.agrees(who)
        elif what == "evict":
            there.live.forget(who)
        else:
            there.edit()
        assert there.live.store.nbytes <= megabytes * 2**20
    there.agrees(list(MEMBERS))


@pytest.mark.parametrize("encoder", [DENSE, WINDOWED], ids=["dense", "windowed"])
def test_a_decoded_step_is_what_its_history_would_ask(encoder: TransformerConfig) -> None:
    """Step by step: the items chosen so far are in the history, with nothing else known of them."""
    there = World(encoder, windows=WindowConfig(context=400))
    members = [1, 3, 1]
    for member, count in ((1, 17), (3, 9)):
        there.append(member, count)
    asked = there.questions(members)
    V = len(there.tokenizer.items.values)
    allowed = torch.rand(3, V, generator=torch.Generator().manual_seed(0)) < 0.5
    before = there.live.states(members, asked)
    found = decode(there.live, members, asked, allowed, steps=6)
    torch.testing.assert_close(there.live.states(members, asked), before, rtol=0, atol=0)
    post, numbers = there.tokenizer.post_columns, there.tokenizer.post_values
    for number, member in enumerate(members):
        columns = found.columns[number].tolist()
        assert len(set(columns)) == 6
        assert allowed[number, columns].all()
        history = there.history(member)
        one = asked.take([number])
        for step, column in enumerate(columns):
            grown = LiveMembers(
                there.live.model, there.versions, lambda _, known=history: known, windows=WindowConfig(context=400)
            )
            state = grown.recomputed([member], one)
            scores = grown.scores(state, torch.from_numpy(one.time))[0]
            torch.testing.assert_close(scores[column], found.scores[number, step], rtol=1e-3, atol=1e-3)
            rest = allowed[number].clone()
            rest[columns[:step]] = False
            assert scores[column] >= scores[rest].max() - 1e-3
            ids = np.zeros((1, there.tokens.ids.shape[1]), np.int32)
            for spec in there.tokenizer.specs:
                ids[0, spec.start] = 1
            ids[0, 0], ids[0, post:] = column + FIRST_KNOWN, one.ids[0]
            values = np.zeros((1, there.tokens.values.shape[1]), np.float32)
            values[0, numbers:] = one.values[0]
            token = (ids, values, one.time, one.time, np.array([there.versions.number]))
            history = History(
                *(np.concatenate(pair) for pair in zip(history[:5], token, strict=True)), closed=history.closed + 1
            )


def test_decoding_ends_where_nothing_is_allowed() -> None:
    there = World()
    there.append(0, 4)
    allowed = torch.zeros(1, len(there.tokenizer.items.values), dtype=torch.bool)
    allowed[0, [3, 5]] = True
    found = decode(there.live, [0], there.questions([0]), allowed, steps=4)
    assert sorted(found.columns[0, :2].tolist()) == [3, 5]
    assert found.columns[0, 2:].tolist() == [-1, -1]
    assert torch.isinf(found.scores[0, 2:]).all()


def test_a_window_bounds_a_cache() -> None:
    there = World(WINDOWED)
    sizes = []
    for _ in range(60):
        there.append(0, 1)
        there.live.append([0])
        cached = there.live.store.get(0)
        assert cached is not None
        assert cached.rows.length <= 4 + 2 + 2
        assert cached.old is None or len(cached.old.rows) <= 3
        sizes.append(cached.nbytes)
    assert max(sizes) == max(sizes[:30])


@pytest.mark.parametrize(("precision", "tolerance", "share"), [("bfloat16", 0.05, 0.55), ("int8", 0.05, 0.5)])
@pytest.mark.parametrize("encoder", [DENSE, WINDOWED], ids=["dense", "windowed"])
def test_narrow_caches_are_smaller_and_nearly_right(
    encoder: TransformerConfig, precision: Literal["bfloat16", "int8"], tolerance: float, share: float
) -> None:
    size = {}
    for kept in ("float32", precision):
        there = World(encoder, cache=CacheConfig(precision=kept))
        for count in (30, 1, 1):
            there.append(0, count)
            there.live.append([0])
        asked = there.questions([0])
        found, plain = there.live.states([0], asked), there.live.recomputed([0], asked)
        assert (found - plain).abs().mean() < (tolerance if kept == precision else 1e-5)
        cached = there.live.store.get(0)
        assert cached is not None
        size[kept] = cached.rows.nbytes
    assert size[precision] < (share + 0.2) * size["float32"]


def test_the_least_recently_used_goes_first() -> None:
    there = World(cache=CacheConfig(megabytes=0.012))
    for member in MEMBERS[:3]:
        there.append(member, 20)
        there.live.append([member])
    kept = [member for member in MEMBERS if member in there.live.store]
    assert kept
    assert 0 not in kept
    assert there.live.store.evicted == 3 - len(kept)


def test_an_edit_makes_stale_what_read_a_version_that_is_gone() -> None:
    """The past keeps the version that it had, for as long as it is kept; what ranks is the newest at once."""
    there = World(keep=2)
    there.append(0, 10)
    asked = there.questions([0])
    first = there.live.states([0], asked)
    moment = torch.from_numpy(asked.time)
    scores = there.live.scores(first, moment)
    there.edit()
    second = there.live.states([0], asked)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not torch.allclose(there.live.scores(second, moment), scores)
    there.edit()
    third = there.live.states([0], asked)
    assert not torch.allclose(third, second)
    torch.testing.assert_close(third, there.live.recomputed([0], asked))


def test_a_row_that_is_added_later_makes_a_cache_as_old_as_its_version() -> None:
    there = World(keep=2)
    there.append(0, 1)
    there.edit()
    there.live.append([0])
    there.append(0, 1)
    there.live.append([0])  # the row that carries the token of version 0
    there.edit()
    there.agrees([0])


def test_sasrec_has_no_cache() -> None:
    dataset = world(3)
    config = everything(encoder=SasRecConfig(width=16))
    tokenizer = Tokenizer.fit(dataset, split(dataset), config.tokenizer)
    model = network(config.model, tokenizer, context=50).eval()
    versions = ItemVersions(model, tokenizer, present_catalogue(tokenizer, dataset))
    with pytest.raises(ConfigError, match="can't be cached"):
        LiveMembers(model, versions, lambda _: History.of(tokenizer.encode(dataset), 0, 1), windows=WindowConfig())


@pytest.mark.parametrize("encoder", [DENSE, WINDOWED], ids=["dense", "windowed"])
def test_an_open_run_is_read_anew_each_time(encoder: TransformerConfig) -> None:
    """What of it is still to come changes what is known of it; the rows before it are kept."""
    there = World(encoder)
    there.append(2, 15)
    there.open[2] = 4
    states = []
    for _ in range(2):
        there.agrees([2])
        states.append(there.live.states([2], there.questions([2])))
        cached = there.live.store.get(2)
        assert cached is not None
        assert cached.stop == 12, "the run's first token is asked for by a row that is closed"
        there.changes += 1
    assert not torch.allclose(*states)
    there.append(2, 1)
    there.agrees([2])


@pytest.mark.parametrize("context", [500, 31])
def test_old_blocks_are_summarised_as_in_a_view(context: int) -> None:
    """Row by row and all at once, in views that begin within a block, until many blocks share a summary."""
    there = World(WINDOWED, windows=WindowConfig(context=context, slide=min(context, 7)))
    there.append(0, 21)
    for _ in range(15):
        there.append(0, 1)
        there.live.append([0])
        there.agrees([0])
    cached = there.live.store.get(0)
    assert cached is not None
    assert cached.shared
    there.append(1, 36)
    there.agrees([1, 0])
