"""The lower reference: what can be predicted by someone who knows the generator and the observed past.

A particle filter over each member's latent state (see `particles`): taste, type, what the session is after. It knows
the parameters of the generator, the titles' side of the choice (their places, quality and buzz, the rows shown) and
all that the log says of the past. It doesn't know tastes, types, intents, whether a trailer pleased, whether an item
left in the middle was abandoned or is to be gone on with. Its NDCG is a lower bound of what can be reached from the
past: K particles are an approximation, and of what members do beside choosing titles it uses only a part.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from pydantic import Field

from palate import words
from palate.config import Config
from palate.simulate import world
from palate.simulate.block import make_service, run_block
from palate.simulate.choice import (
    FOLLOWED,
    LATEST_FIRST,
    LIKED,
    ChoiceModel,
    Habits,
    Moments,
    discovery,
    seen_again,
)
from palate.simulate.context import DISCOVER, FIRST_GENRE, INTENTS, context_table, intent_prior, is_weekend
from palate.simulate.grid import Bools, Doubles, Floats, Ints, batched_products
from palate.simulate.oracle import continuation, read_truth, spread
from palate.simulate.particles import Particles
from palate.simulate.replay import Asked, Record, answers, rows_of
from palate.simulate.rows import ROWS
from palate.simulate.state import ABANDONED, BROKEN, DISLIKED, DONE, FRESH, OPEN, State
from palate.simulate.timeline import AT_BREAK, HAS_NEXT
from palate.simulate.truth import Truth
from palate.simulate.viewing import EPISODES, completion

_SEEN_WHOLE: Final = 0.9
"""Share from which an item has been seen to its end: abandoned items and breaks end before it."""
_BINS: Final = 14
_SAMPLE: Final = 400
_CELLS: Final = 1 << 22


class FilterConfig(Config):
    """How closely the filter follows."""

    particles: int = Field(default=96, ge=2, le=4096)
    """Particles of a member."""
    seed: int = Field(default=0, ge=0)
    """Seed of the particles."""


@dataclass(frozen=True)
class FilterOracle:
    """Log probabilities of the next play's item from the observed past, for the plays that took place."""

    truth: Truth
    config: FilterConfig = field(default_factory=FilterConfig)

    @classmethod
    def read(cls, folder: str | Path, config: FilterConfig | None = None) -> FilterOracle:
        """Read the truth of a written simulation: of it the filter uses the titles' side and what was observed."""
        return cls(read_truth(folder), config or FilterConfig())

    @property
    def catalogue(self) -> pl.Series:
        """External ids of the items, as the columns of `scores` have them."""
        return self.truth.items[words.ITEM_ID]

    def scores(self, queries: pl.DataFrame) -> Floats:
        """Log probability [Q, V] of each item at each query, as `palate.simulate.Oracle.scores` has it."""
        rows = rows_of(self.truth, queries)
        following = _Following(self.truth, self.config, rows)
        return answers(following.choice, following.record, rows, following.by_item, following.turned, following.through)


class _Following:
    """Members and their particles on the way through the record."""

    def __init__(self, truth: Truth, config: FilterConfig, rows: Ints) -> None:
        self._config = truth.config
        self._space = truth.space()
        self._breaks = _breaks_by_share(truth)
        self.choice: ChoiceModel = truth.choice_model()
        self.record = self._observed(truth)
        self._row = self._codes(truth)
        record = self.record
        members = np.unique(record.session["member"][record.viewing["session"][record.play["viewing"][rows]]])
        self._slot = np.full(truth.members.height, -1)
        self._slot[members] = np.arange(len(members))
        self._locale = truth.members["locale"].to_numpy().astype(np.int64)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((config.seed, truth.config.seed))))
        self._particles = Particles(truth.config, self._space, len(members), config.particles, rng)
        self._open = np.full(len(members), -1)
        self._factor = np.exp(truth.config.sharpness * self._wanted())
        self._place = truth.titles["place"].to_numpy().astype(np.float32)
        self._context = context_table(truth.config.context_strength)
        kinds = np.repeat(np.arange(len(world.MEMBER_TYPES)), len(INTENTS))
        habits = Habits.of(truth.config, np.tile(np.arange(len(INTENTS)), len(world.MEMBER_TYPES)), kinds)
        shape = (len(world.MEMBER_TYPES), len(INTENTS))
        self._goes_on, self._rewatches, self._trailer, self._binges = (
            array.reshape(shape) for array in (habits.goes_on, habits.rewatches, habits.trailer, habits.binges)
        )

    @staticmethod
    def _codes(truth: Truth) -> Ints:
        names = {name: code for code, name in enumerate(ROWS)}
        row = truth.viewings["row"].replace_strict(names, return_dtype=pl.Int64).fill_null(-1)
        return row.to_numpy()

    def _observed(self, truth: Truth) -> Record:
        """The record without what an observer can't tell: why an item was left in the middle."""
        record = Record.of(truth)
        status = record.viewing["status"]
        last = (record.first_play + record.plays - 1).clip(0)
        hope = self._break(record, truth, last)
        stopped = hope * (1 - self._config.resume)
        hope = stopped / np.maximum(stopped + 1 - hope, 1e-9)
        unknown = (status == ABANDONED) | (status == BROKEN)
        viewing = {**record.viewing, "status": np.where(unknown, BROKEN, status), "left": np.where(unknown, hope, 0.0)}
        share = truth.plays["share"].to_numpy()
        play = {**record.play, "share": share, "ended_by_break": self._break(record, truth, np.arange(len(share)))}
        return replace(record, viewing=viewing, play=play)

    def _break(self, record: Record, truth: Truth, play: Ints) -> Doubles:
        """Probability that these plays ended with a break."""
        if not len(record.before):
            return np.zeros(len(play))
        device = record.session["device"][record.viewing["session"][record.play["viewing"][play]]]
        share = truth.plays["share"].to_numpy()[play]
        return np.where(share >= _SEEN_WHOLE, 0.0, self._breaks[device, _bin(share)])

    def _wanted(self) -> Doubles:
        """[intents, G] utility of titles for what a session is after, but for discovery."""
        wanted = np.zeros((len(INTENTS), self.choice.features.shape[1]))
        columns = slice(world.LATENT, world.LATENT + len(INTENTS) - FIRST_GENRE)
        wanted[FIRST_GENRE:] = self._config.intent_strength * self.choice.features[columns]
        return wanted

    def turned(self, viewing: Ints, place: Ints, state: State) -> None:
        """Learn from the titles that these members turned to."""
        each = max(1, _CELLS // (self._particles.weight.shape[1] * state.titles))
        for start in range(0, len(viewing), each):
            self._learn(viewing[start : start + each], place[start : start + each], state)

    def _learn(self, viewing: Ints, place: Ints, state: State) -> None:
        record, particles = self.record, self._particles
        slot, session, day = self._enter(viewing)
        N = np.arange(len(viewing))
        kind = particles.kind[slot]
        weights, multiplier = self._weights(slot, session, day)
        weights *= state_factors(state, place, day)[:, None]
        total = batched_products(weights, multiplier.transpose(0, 2, 1))  # [N, K, I]
        title, trailer, row = record.viewing["title"][viewing], record.viewing["trailer"][viewing], self._row[viewing]
        before = state.status[state.place(place, title)]
        opens = record.viewing["number"][viewing] == 0
        likelihood = np.ones(total.shape)

        seeing = trailer >= 0
        shows = self._trailer[kind]
        likelihood *= np.where(seeing[:, None, None], shows, 1 - shows)
        idea = trailer.clip(0)
        of_idea = weights[N, :, idea][:, :, None] * multiplier[N, :, idea][:, None] / total
        likelihood *= np.where(seeing[:, None, None], of_idea, 1.0)

        free = ~seeing & (row < 0) & ((before == FRESH) & (state.listed[place] != title))
        searched = (free | (seeing & (row < 0) & (title != trailer)))[:, None, None]
        of_title = weights[N, :, title][:, :, None] * multiplier[N, :, title][:, None] / total
        likelihood *= np.where(searched, of_title, 1.0)
        some = np.nonzero(row >= 0)[0]
        if len(some):
            titles = self.choice.rows[day[some], row[some]]
            shown = np.take_along_axis(weights[some], titles[:, None].astype(np.int64), axis=2) * self.choice.propensity
            wanted = np.take_along_axis(multiplier[some], titles[:, None].astype(np.int64), axis=2)
            chosen = np.argmax(titles == title[some, None], axis=1)
            S = np.arange(len(some))
            own = shown[S, :, chosen][:, :, None] * wanted[S, :, chosen][:, None]
            shares = self.choice.row_shares[:, row[some]].T[:, None]
            likelihood[some] *= shares * own / batched_products(shown, wanted.transpose(0, 2, 1))
        # What else it may have been: going on, or something seen before.
        waits = state.waits(state.place(place, title), day, title)
        known = (row < 0) & ~seeing & (before != FRESH)
        went_on, again = (known & opens & waits)[:, None, None], (known & ~(opens & waits))[:, None, None]
        likelihood *= np.where(went_on, self._goes_on[kind], 1.0) * np.where(again, self._rewatches[kind], 1.0)
        likelihood *= np.where((opens & (free | (row >= 0)))[:, None, None], 1 - self._goes_on[kind], 1.0)
        self._believe(slot, likelihood)

    def _believe(self, slot: Ints, likelihood: Doubles) -> None:
        """Something of probability ``likelihood [N, K, intents]`` has been seen."""
        particles = self._particles
        joint = particles.intent[slot] * np.maximum(likelihood, 1e-30)
        each = joint.sum(axis=2)
        particles.intent[slot] = joint / each[:, :, None]
        particles.weigh(slot, each / each.max(axis=1, keepdims=True))

    def through(self, viewing: Ints, _place: Ints, _state: State) -> None:
        """Learn from how far the members got with these titles."""
        record = self.record
        slot, _, day = self._enter(viewing)
        title, kind = record.viewing["title"][viewing], self._particles.kind[slot]
        status, played = record.viewing["status"][viewing], record.viewing["played"][viewing]
        done = (status == OPEN) | (status == DONE)
        taste = self._particles.taste(slot)
        match = (taste * self._place[title][:, None]).sum(axis=2) + self.choice.appeal[day, title][:, None]
        finishes = completion(match.astype(np.float64), world.PATIENCE_SHIFT[kind])
        gives_up = np.where((status == DISLIKED)[:, None], 1 - finishes, 0.06 + 1 - finishes)
        result = finishes ** (played - 1 + done)[:, None] * np.where(done[:, None], 1.0, gives_up)
        more = record.viewing["progress"][viewing] < self.choice.shelf.available[day, title]
        refused = (status == OPEN) & more & (played < EPISODES)
        binges = self._binges[kind]
        follows = binges ** (played - 1)[:, None, None]
        self._believe(slot, result[:, :, None] * follows * np.where(refused[:, None, None], 1 - binges, 1.0))

    def by_item(self, asked: Asked, state: State) -> Doubles:
        """Probabilities [N, V]."""
        each = max(1, _CELLS // (self._particles.weight.shape[1] * state.titles))
        parts = [
            self._predict(Asked(asked.play[some], asked.member[some], asked.place[some]), state)
            for some in (slice(start, start + each) for start in range(0, len(asked.play), each))
        ]
        return np.concatenate(parts)

    def _predict(self, asked: Asked, state: State) -> Doubles:
        record, particles, choice = self.record, self._particles, self.choice
        viewing = record.play["viewing"][asked.play]
        slot, session, day = self._enter(viewing)
        before = record.before[asked.play]
        first = record.first_play[viewing] == asked.play
        trailer = np.where(first, record.viewing["trailer"][viewing], -1)
        kind = particles.kind[slot]
        belief = particles.weight[slot][:, :, None] * particles.intent[slot]  # [N, K, I]
        weights, multiplier = self._weights(slot, session, day)
        weights *= state_factors(state, asked.place, day)[:, None]

        rewatches, goes_on = self._rewatches[kind], self._goes_on[kind]
        listed = state.listed[asked.place]
        has_list = listed >= 0
        has_list &= state.status[state.place(asked.place, listed.clip(0))] == FRESH
        from_list = np.where(has_list, choice.config.from_watchlist, 0.0)
        waiting = self._waiting(asked.place, day, before < 0, state)
        going_on = (belief * goes_on).sum(axis=(1, 2))
        not_on = belief * (1 - goes_on * waiting.sum(axis=1)[:, None, None]) * (1 - from_list)[:, None, None]
        again = seen_again(state, asked.place)
        remembers = (not_on * rewatches).sum(axis=(1, 2))
        fails = 1 - rewatches * again.sum(axis=1)[:, None, None]
        with_trailer = (trailer >= 0)[:, None, None]
        share = np.where(with_trailer, belief, not_on * fails)
        titles = self._free(weights, multiplier, share, day)
        plain = trailer < 0
        titles += np.where(plain, remembers, 0.0)[:, None] * again
        rows = np.nonzero(has_list & plain)[0]
        open_share = 1 - going_on * waiting.sum(axis=1)
        titles[rows, listed[rows]] += (from_list * open_share)[rows]
        for column in range(2):
            rows = np.nonzero((waiting[:, column] > 0) & plain)[0]
            titles[rows, state.latest[asked.place[rows], column]] += (going_on * waiting[:, column])[rows]
        rows = np.nonzero(~plain)[0]
        follows = LIKED * FOLLOWED  # how much of the trailer was seen says more; it is left aside
        titles[rows] *= 1 - follows
        titles[rows, trailer[rows]] += follows
        titles /= titles.sum(axis=1, keepdims=True)

        inside = (before >= 0) & plain
        next_due = inside & (record.play["ends"][before] == HAS_NEXT)
        broken = np.where(inside, record.play["ended_by_break"][before], 0.0)
        stays = np.where(next_due, (belief * self._binges[kind]).sum(axis=(1, 2)), broken * choice.config.resume)
        on = continuation(choice.config, stays, (belief * self._trailer[kind]).sum(axis=(1, 2)))
        return spread(choice, titles, on, record.play["item"][before] + next_due, asked.place, day, state)

    def _free(self, weights: Doubles, multiplier: Doubles, share: Doubles, day: Ints) -> Doubles:
        """[N, G] of free choices, of which each particle and intent has a share [N, K, I]."""
        choice = self.choice
        total = batched_products(weights, multiplier.transpose(0, 2, 1))
        searching = (1 - choice.config.row_share) * share / total
        result = (weights * batched_products(searching, multiplier)).sum(axis=1)
        N = len(result)
        for row in range(len(ROWS)):
            intents = np.nonzero(choice.row_shares[:, row] > 0)[0]
            titles = choice.rows[day, row].astype(np.int64)
            shown = np.take_along_axis(weights, titles[:, None], axis=2) * choice.propensity
            wanted = np.take_along_axis(multiplier[:, intents], titles[:, None], axis=2)
            of_row = choice.config.row_share * choice.row_shares[intents, row]
            each = of_row * share[:, :, intents] / batched_products(shown, wanted.transpose(0, 2, 1))
            found = (shown * batched_products(each, wanted)).sum(axis=1)
            result[np.arange(N)[:, None], titles] += found
        return np.asarray(result)

    def _waiting(self, place: Ints, day: Ints, opens: Bools, state: State) -> Doubles:
        """[N, 2] probability that a member who goes on with something goes on with each of the last two titles."""
        hopes = np.zeros((len(place), 2))
        for column in range(2):
            some = np.nonzero((state.latest[place, column] >= 0) & opens)[0]
            title = state.latest[place[some], column]
            where = state.place(place[some], title)
            waits = state.waits(where, day[some], title)
            hopes[some, column] = waits * np.where(state.status[where] == BROKEN, state.left[where], 1.0)
        first, second = hopes.T
        both = first * second
        return np.stack([first - (1 - LATEST_FIRST) * both, second - LATEST_FIRST * both], axis=1)

    def _enter(self, viewing: Ints) -> tuple[Ints, Ints, Ints]:
        """Slot, session and day of viewings; what the session is after is open again where it is a new one."""
        record, particles = self.record, self._particles
        session = record.viewing["session"][viewing]
        member, day = record.session["member"][session], record.session["day"][session].astype(np.int64)
        slot = self._slot[member]
        new = np.nonzero(self._open[slot] != session)[0]
        if len(new):
            some, when = slot[new], day[new]
            self._open[some] = session[new]
            particles.move(some, when)
            K = particles.weight.shape[1]
            context = np.repeat(self._context_of(session[new], when), K, axis=0)
            taste = particles.taste(some).reshape(-1, world.LATENT)
            kind = particles.kind[some].ravel()
            prior = intent_prior(taste, context, kind, self._space, self._config.taste_strength)
            particles.intent[some] = prior.reshape(len(some), K, -1)
        return slot, session, day

    def _context_of(self, session: Ints, day: Ints) -> Floats:
        device, hour = self.record.session["device"][session], self.record.session["hour"][session]
        return np.asarray(self._context[device, is_weekend(day), hour])

    def _weights(self, slot: Ints, session: Ints, day: Ints) -> tuple[Doubles, Doubles]:
        """Weights of titles [N, K, G] before past and intent count, and factors [N, intents, G] of intents."""
        particles, K = self._particles, self._particles.weight.shape[1]
        N = len(slot)
        member = self.record.session["member"][session]
        moments = Moments(
            taste=particles.taste(slot).reshape(-1, world.LATENT),
            mainstream=particles.mainstream[slot].ravel().astype(np.float32),
            novelty=particles.novelty[slot].ravel().astype(np.float32),
            context=np.repeat(self._context_of(session, day), K, axis=0),
            locale=np.repeat(self._locale[member], K),
            intent=np.ones(N * K, dtype=np.int64),
            kind=particles.kind[slot].ravel(),
        )
        weights = self.choice.weights(self.choice.sides(moments), np.repeat(day, K)).reshape(N, K, -1)
        factor = np.repeat(self._factor[None], N, axis=0)
        factor[:, DISCOVER] = discovery(self.choice, day)
        return weights.astype(np.float64), factor


def state_factors(state: State, place: Ints, day: Ints) -> Doubles:
    """[N, G] what the past does to the weights of titles, as far as it can be known."""
    factors = state.all_factors(place, day)
    broken = state.status.reshape(-1, state.titles)[place] == BROKEN
    hope = state.left.reshape(-1, state.titles)[place]
    return np.where(broken, hope + (1 - hope) * state.shelf.seen_weight, factors)


def _breaks_by_share(truth: Truth) -> Doubles:
    """[devices, bins] how often plays that end at a share of the item end with a break: simulated with another seed."""
    other = truth.config.model_copy(update={"seed": truth.config.seed + 1})
    service = make_service(other)
    block = run_block(service, range(min(_SAMPLE, other.members)))
    plays, sessions = block.plays, block.sessions
    device = sessions.device[block.viewings.session[plays.viewing]]
    at = device * _BINS + _bin(plays.share)
    counts = np.bincount(at, minlength=len(world.DEVICES) * _BINS) + 1.0
    breaks = np.bincount(at, weights=plays.ends == AT_BREAK, minlength=len(counts)) + 0.5
    return np.asarray((breaks / counts).reshape(-1, _BINS))


def _bin(share: Floats) -> Ints:
    return np.asarray((share * _BINS).astype(np.int64).clip(0, _BINS - 1))
