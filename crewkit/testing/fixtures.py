"""Fixtures for pytest: `pytest_plugins = ["crewkit.testing.fixtures"]` in a `conftest.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crewkit.testing.cassette import Cassette


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Callable[[str], Cassette]:
    """Return a function that reads a cassette by its path from the test's own folder.

    ```python
    def test_the_plan_is_what_it_was(cassette):
        assert "noon" in cassette("tides.yaml").replay_sync(crew).output
    ```
    """

    def read(name: str) -> Cassette:
        return Cassette.read(Path(request.path).parent / name)

    return read
