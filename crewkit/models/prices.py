"""What a call costs, from litellm's price list, read as a file: litellm itself is not imported."""

from __future__ import annotations

import json
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FREE = frozenset({"offline", "scripted", "generated", "recorded"})

_FILE = "model_prices_and_context_window_backup.json"

_CAPABILITIES = {
    "tools": "supports_function_calling",
    "json": "supports_response_schema",
    "vision": "supports_vision",
}

Entry = dict[str, Any]


class Prices:
    """Prices and context windows by model name, as litellm's local price list has them.

    The list is read once, when first needed (50 ms).

    Args:
        path: Another list of the same form.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def price(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> float | None:
        """Return the cost of a call in usd, `None` where the price is unknown.

        Args:
            model: With its provider (`anthropic/claude-sonnet-4-5`) or without.
            input_tokens: Everything sent.
            output_tokens: Everything written, reasoning included.
            cached_tokens: Part of `input_tokens` that the provider had cached.
        """
        if model in FREE:
            return 0.0
        entry = self._entry(model)
        paid = _number(entry, "input_cost_per_token")
        written = _number(entry, "output_cost_per_token")
        if paid is None or written is None:
            return None
        read = _number(entry, "cache_read_input_token_cost")
        fresh = input_tokens - cached_tokens
        return fresh * paid + cached_tokens * (paid if read is None else read) + output_tokens * written

    def context_window(self, model: str) -> int | None:
        """Return how many tokens a model can be sent, `None` where that is unknown."""
        entry = self._entry(model)
        window = _number(entry, "max_input_tokens") or _number(entry, "max_tokens")
        return int(window) if window else None

    def capabilities(self, model: str) -> frozenset[str] | None:
        """Return what a model can do of `tools`, `json` and `vision`, `None` where it is not listed."""
        entry = self._entry(model)
        if not entry:
            return None
        return frozenset(word for word, key in _CAPABILITIES.items() if entry.get(key))

    def vector_size(self, model: str) -> int | None:
        """Return how many numbers an embedding model's vectors have, `None` where that is unknown."""
        size = _number(self._entry(model), "output_vector_size")
        return int(size) if size else None

    def provider(self, model: str) -> str | None:
        """Return who is listed for a bare name such as `claude-sonnet-4-5`."""
        listed = self._entries.get(model, {}).get("litellm_provider")
        return str(listed) if listed else None

    @cached_property
    def providers(self) -> frozenset[str]:
        """The providers that are listed."""
        return frozenset(str(entry.get("litellm_provider")) for entry in self._entries.values())

    def _entry(self, model: str) -> Entry:
        """Find a model by its whole name, or by the part after its provider if that is listed as theirs."""
        whole = self._entries.get(model)
        if whole is not None:
            return whole
        provider, slash, bare = model.partition("/")
        entry = self._entries.get(bare, {}) if slash else {}
        return entry if _same_provider(provider, str(entry.get("litellm_provider", ""))) else {}

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        path = self._path or _installed()
        if path is None or not path.is_file():
            return {}
        return json.loads(path.read_text(encoding="utf-8"))


def _same_provider(asked: str, listed: str) -> bool:
    """Tell whether `gemini` is meant by `gemini`, or `vertex_ai` by `vertex_ai-language-models`."""
    return (
        asked == listed
        or listed.startswith(f"{asked}-")
        or (asked, listed) == ("openai", "text-completion-openai")
    )


def _installed() -> Path | None:
    spec = find_spec("litellm")
    return Path(spec.origin).with_name(_FILE) if spec is not None and spec.origin else None


def _number(entry: Entry, key: str) -> float | None:
    value = entry.get(key)
    return float(value) if isinstance(value, int | float) else None
