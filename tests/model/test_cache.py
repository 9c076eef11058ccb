"""If these fail, members are worked out anew with every question, or caches outgrow the memory."""

import torch

from palate.model.cache import CacheConfig, CacheStore, MemberCache
from palate.model.storage import Rows


def cache(rows: int) -> MemberCache:
    """About ``rows`` KiB."""
    made = MemberCache(Rows("float32", layers=2, heads=2, head_width=32), start=0)
    made.append(torch.zeros(2, 2, 2, rows, 32), torch.zeros(rows, dtype=torch.int64))
    return made


def test_who_was_asked_for_least_recently_goes_first() -> None:
    store = CacheStore(CacheConfig(megabytes=0.25))
    for member in "abc":
        store.put(member, cache(100))
        store.get("a")
    assert [member for member in "abc" if member in store] == ["a", "c"]
    assert store.evicted == 1
    assert store.nbytes <= 0.25 * 2**20


def test_one_that_is_larger_than_all_room_costs_nobody_else_theirs() -> None:
    store = CacheStore(CacheConfig(megabytes=0.25))
    for member, rows in (("a", 100), ("b", 100), ("long", 400)):
        store.put(member, cache(rows))
    assert [member in store for member in ("a", "b", "long")] == [True, True, False]
    store.put("a", cache(400))  # grown beyond
    assert "a" not in store
    assert len(store) == 1
    assert store.nbytes == cache(100).nbytes
