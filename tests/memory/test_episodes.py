from datetime import UTC, datetime, timedelta

from crewkit.memory.base import Hit, Origin
from crewkit.memory.episodes import ALLOWANCE, Episode, Step, choose, merged, told

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def hit(score: float, status: str = "completed", days: float = 0.0, **more: object) -> Hit:
    last = (NOW - timedelta(days=days)).isoformat()
    episode = Episode("t", f"case {score} {days}", status, last=last, runs=(f"r {score} {days}",), **more)
    return Hit(episode.to_record(Origin()), score)


def test_the_likest_come_first_then_what_worked_then_the_newer() -> None:
    hits = [hit(1.0, days=300), hit(1.0, days=1), hit(1.0, "failed"), hit(0.5), hit(0.2)]
    chosen = choose(hits, NOW)
    assert [hits.index(choice.hit) for choice in chosen] == [1, 0, 2, 3], "0.2 is too far away"
    assert [choice.used_as for choice in chosen] == ["example", "example", "warning", "example"]
    assert chosen[1].why == "likeness 1.00, worked, met 1 time, last 300 days ago"
    assert choose([], NOW) == []


def test_so_many_and_so_much_is_shown_and_no_more() -> None:
    many = [hit(1 - i / 100) for i in range(9)] + [hit(0.9, "failed", i) for i in range(9)]
    assert [choice.used_as for choice in choose(many, NOW)] == ["example"] * 3 + ["warning"] * 2
    long = [hit(1 - i / 100, plan="p" * 2_500) for i in range(9)]
    assert len(choose(long, NOW)) == 2
    assert len(told(choose(long, NOW))) <= ALLOWANCE


def test_what_differs_in_numbers_only_is_one_record_and_counted_once_a_run() -> None:
    def met(number: int, run: str) -> Episode:
        steps = (Step("look", f"place={number}", "ok"),)
        return Episode("t", f"invoice {number}", "completed", steps=steps, runs=(run,), result=str(number))

    first, second = met(1, "a").to_record(Origin()), met(22, "b").to_record(Origin())
    assert first.id() == second.id()
    both = merged(first, second)
    assert merged(both, second) == both
    assert merged(both, first) == both
    episode = Episode.of(both)
    assert (episode.count, episode.result, episode.runs) == (2, "22", ("a", "b"))
    failed = Episode("t", "invoice 1", "failed").to_record(Origin())
    assert failed.id() != first.id()
