"""What is kept, for how long, and how much of it."""

from datetime import timedelta

from crewkit.resilience.cache import Cache
from crewkit.testing.clock import FakeClock


def test_an_answer_is_kept_as_long_as_whoever_asks_allows():
    clock, cache = FakeClock(), Cache[str]()
    cache.put("k", "v", clock.now())
    clock.advance(10)
    kept = cache.get("k", clock.now(), 10)
    assert kept is not None
    assert (kept.value, kept.age(clock.now())) == ("v", 10)
    assert cache.get("k", clock.now(), 9.9) is None
    assert cache.get("k", clock.now()) is kept
    assert cache.get("other", clock.now()) is None


def test_past_the_most_the_one_used_longest_ago_is_dropped():
    clock, cache = FakeClock(), Cache[int](most=2)
    cache.put("a", 1, clock.now())
    cache.put("b", 2, clock.now())
    assert cache.get("a", clock.now())
    cache.put("c", 3, clock.now())
    assert [key for key in "abc" if cache.get(key, clock.now())] == ["a", "c"]


def test_a_clock_that_was_set_back_makes_nothing_younger_than_new():
    clock, cache = FakeClock(), Cache[str]()
    cache.put("k", "v", clock.now())
    kept = cache.get("k", clock.now() - timedelta(days=1), 5)
    assert kept is not None
    assert kept.age(clock.now() - timedelta(days=1)) == 0
