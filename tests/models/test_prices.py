import json
from pathlib import Path

import pytest

from crewkit.models.prices import Prices

LISTED = {
    "claude-x": {
        "litellm_provider": "anthropic",
        "input_cost_per_token": 3e-6,
        "output_cost_per_token": 15e-6,
        "cache_read_input_token_cost": 3e-7,
        "max_input_tokens": 200_000,
    },
    "azure/gpt-x": {"litellm_provider": "azure", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
    "gpt-x": {"litellm_provider": "openai", "input_cost_per_token": 1e-6, "output_cost_per_token": 4e-6},
    "seconds-x": {"litellm_provider": "openai", "input_cost_per_second": 1.0},
}


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    (tmp_path / "prices.json").write_text(json.dumps(LISTED))
    return Prices(tmp_path / "prices.json")


@pytest.mark.parametrize("name", ["claude-x", "anthropic/claude-x"])
def test_a_call_costs_its_tokens_and_cached_ones_cost_less(prices: Prices, name: str):
    assert prices.price(name, 1000, 100) == pytest.approx(0.0045)
    assert prices.price(name, 1000, 100, 1000) == pytest.approx(0.0018)
    assert prices.context_window(name) == 200_000


def test_each_provider_has_its_own_price(prices: Prices):
    assert prices.price("azure/gpt-x", 0, 1000) == pytest.approx(0.002)
    assert prices.price("openai/gpt-x", 0, 1000) == pytest.approx(0.004)


@pytest.mark.parametrize("name", ["nobody/claude-x", "openai/claude-x", "seconds-x", "unknown", ""])
def test_an_unknown_price_is_unknown_and_not_zero(prices: Prices, name: str):
    assert prices.price(name, 1000, 1000) is None


def test_models_of_our_own_cost_nothing(tmp_path: Path):
    assert Prices(tmp_path / "none.json").price("offline", 1000, 1000) == 0.0


def test_the_installed_list_is_found_without_litellm():
    prices = Prices()
    assert (prices.price("openai/gpt-4o", 1000, 0) or 0) > 0
    assert prices.context_window("openai/gpt-4o") == 128_000
