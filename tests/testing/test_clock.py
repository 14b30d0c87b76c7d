from datetime import timedelta

from crewkit.testing import FakeClock


async def test_time_passes_only_when_somebody_sleeps():
    clock = FakeClock()
    begun = clock.now()
    await clock.sleep(60)
    clock.advance(5)
    assert clock.now() - begun == timedelta(seconds=65)
    assert clock.monotonic() == 65
    assert clock.slept == [60]
