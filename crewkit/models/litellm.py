"""Models of any provider, through litellm. The only door to litellm."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

from crewkit.errors import ModelError
from crewkit.models.base import Answer, Request, Watch
from crewkit.models.http import RETRYABLE, SHOWN, at_loop_end, is_loopback, refuse_real_model, seconds_until
from crewkit.models.prices import Prices
from crewkit.models.tokens import estimate_tokens
from crewkit.models.wire import Assembly, Data, message_data, read_completion, tool_data


class LitellmModel:
    """A model of any provider that litellm knows, by litellm's name for it.

    litellm is imported at the first request (seconds of CPU), in a thread, with its price list taken from the
    package and its own retries off.

    Args:
        name: For example `anthropic/claude-sonnet-4-5`.
        api_base: Where the provider's server is, if not where litellm thinks.
        api_key: The key, if not the one litellm finds in the environment.
        stream: Ask for the answer in pieces, and tell them to `watch.chunk`.
        options: Passed on to `litellm.acompletion` with every request.
        key_name: Where the key comes from, for the advice of an error.
        environ: Where `CREWKIT_NO_NETWORK` and its like are looked up.
    """

    def __init__(
        self,
        name: str,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        stream: bool = False,
        prices: Prices | None = None,
        options: Mapping[str, Any] | None = None,
        key_name: str = "",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.name = name
        self._stream = stream
        self._prices = prices or Prices()
        self._environ = environ
        self._key = api_key or ""
        self._host = (
            (urlsplit(api_base).hostname or "") if api_base else f"the servers of {name.partition('/')[0]}"
        )
        self._who = f"Model '{name}'" + (
            f" at {urlsplit(api_base).netloc.rpartition('@')[2]}" if api_base else ""
        )
        self._key_name = key_name
        self._options: Data = {
            "model": name,
            "drop_params": True,
            "max_retries": 0,
            "num_retries": 0,
            "no-log": True,
            **({"api_base": api_base} if api_base else {}),
            **({"api_key": api_key} if api_key else {}),
            **(options or {}),
        }
        if api_base and is_loopback(self._host) and not api_key:
            self._options["api_key"] = "none"  # litellm refuses to ask a server without a key

    def context_window(self) -> int | None:
        """Return how many tokens the model can be sent, `None` where that is unknown."""
        return self._prices.context_window(self.name)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count tokens by the model's own tokenizer. Blocks."""
        return count_tokens(self.name, texts)

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Send the request by way of litellm; return the whole answer.

        Raises:
            ModelError: There was none; litellm's own error is its cause.
        """
        refuse_real_model(self.name, self._host, self._environ)
        acompletion = await asyncio.to_thread(_import) if "litellm" not in sys.modules else _import()
        await at_loop_end("litellm", _close_clients)
        try:
            async with asyncio.timeout(request.timeout):
                answer = read_completion(await self._completion(acompletion, request, watch), request)
        except TimeoutError as error:
            text = f"{self._who} gave no whole answer in {request.timeout:g} s."
            raise ModelError(text, retryable=True) from error
        except ModelError as error:
            text = f"{self._who} {error}"[: 2 * SHOWN]
            raise ModelError(text, retryable=error.retryable) from error.__cause__
        except Exception as error:  # a vendor's call: whatever it raises, there is no answer
            raise self._error(error) from error
        usage = answer.usage
        usd = self._prices.price(self.name, usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        return replace(answer, usd=usd, model=answer.model or self.name)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what a call of this size costs in usd, `None` where the price is unknown."""
        return self._prices.price(self.name, input_tokens, output_tokens)

    async def _completion(self, ask: Callable[..., Awaitable[Any]], request: Request, watch: Watch) -> Data:
        asked: Data = {
            **self._options,
            "messages": [message_data(message) for message in request.messages],
            "max_tokens": request.max_tokens,
            "timeout": request.timeout,
        }
        if request.tools:
            # litellm removes keywords from schemas in place; ours are part of the request's fingerprint.
            asked["tools"] = deepcopy([tool_data(tool) for tool in request.tools])
        if request.temperature is not None:
            asked["temperature"] = request.temperature
        if self._stream:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
            return await _assemble(await ask(**asked), watch)
        return _completion(await ask(**asked))

    def _error(self, error: Exception) -> ModelError:
        status = getattr(error, "status_code", None)
        status = status if isinstance(status, int) else None
        response = getattr(error, "response", None)
        headers: Mapping[str, str] = (
            getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
        )
        text = str(error).replace(self._key, "[key]") if self._key else str(error)
        where = self._key_name or "the environment"
        advice = f" Check the key in {where}." if status in (401, 403) else ""
        return ModelError(
            f"{self._who} gave no answer: {text[:SHOWN]}{advice}",
            retryable=status is None or status < 400 or status in RETRYABLE or status >= 500,
            status=status,
            retry_after=seconds_until(headers.get("retry-after", "")),
        )


def embed_texts(
    model: str, texts: Sequence[str], base: str | None, key: str | None, timeout: float
) -> list[list[float]]:
    """Return the texts' vectors in their order, from an embedding model. Blocks.

    Args:
        model: litellm's name for it.
        texts: None of them empty.
        base: Where the server is, if not where litellm thinks.
        key: The key, if not the one litellm finds in the environment.
        timeout: Seconds for the request.

    Raises:
        ModelError: There were none; litellm's own error is its cause.
    """
    _import()
    import litellm

    asked: Data = {"model": model, "input": list(texts), "timeout": timeout, "max_retries": 1}
    asked |= {"api_base": base} if base else {}
    asked |= {"api_key": key or "none"} if key or base else {}
    try:
        found = cast("Any", litellm).embedding(**asked).data
    except Exception as error:  # a vendor's call: whatever it raises, there are no vectors
        text = str(error).replace(key, "[key]") if key else str(error)
        raise ModelError(
            f"Embedding model '{model}' gave no vectors: {text[:SHOWN]}", retryable=True
        ) from error
    vectors = [cast("list[float]", row["embedding"]) for row in found]
    if len(vectors) != len(texts):
        raise ModelError(f"Embedding model '{model}' gave {len(vectors)} vectors for {len(texts)} texts.")
    return vectors


def count_tokens(model: str, texts: Sequence[str]) -> list[int]:
    """Return the tokens of each text by the model's own tokenizer, as far as litellm brings it; nothing is fetched."""
    _import()
    import litellm

    vendor = cast("Any", litellm)
    vendor.disable_hf_tokenizer_download = True
    try:
        return [int(vendor.token_counter(model=model, text=text)) for text in texts]
    except Exception:  # noqa: BLE001 - a vendor's call: an estimate is better than no answer
        return [estimate_tokens(text) for text in texts]


@cache
def _import() -> Callable[..., Awaitable[Any]]:
    """Import litellm quietly, without a look at the network; return what asks a model."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "Item '.*' on TypedDict class", UserWarning)  # of its streams' types
    return cast("Any", litellm).acompletion


async def _close_clients() -> None:
    """Close the clients that litellm opened in the running loop; its cache tells them by their key."""
    import litellm

    clients: dict[str, Any] = cast("Any", litellm).in_memory_llm_clients_cache.cache_dict
    mine = f"-{id(asyncio.get_running_loop())}"
    for client in [clients.pop(key) for key in list(clients) if key.endswith(mine)]:
        closing = (getattr(client, "aclose", None) or client.close)()
        if inspect.isawaitable(closing):
            await closing


def _completion(response: Any) -> Data:
    """Return litellm's response as the protocol's data. `model_dump` would warn of litellm's own types."""
    choices = [
        {"message": _message(choice.message), "finish_reason": choice.finish_reason}
        for choice in response.choices
    ]
    return {"choices": choices, "usage": _usage(response), "model": response.model}


async def _assemble(chunks: AsyncIterator[Any], watch: Watch) -> Data:
    assembly = Assembly()
    async for chunk in chunks:
        choices = [{"delta": _message(c.delta), "finish_reason": c.finish_reason} for c in chunk.choices]
        if text := assembly.add({"choices": choices, "usage": _usage(chunk), "model": chunk.model}):
            watch.chunk(text)
    # litellm gives a stream that broke off a finish_reason of its own; only this tells what was received.
    if not assembly.done or getattr(chunks, "received_finish_reason", None) is None:
        raise ModelError("sent a stream that broke off before its end.", retryable=True)
    return assembly.completion()


def _message(message: Any) -> Data:
    calls = cast("list[Any]", getattr(message, "tool_calls", None) or [])
    return {"content": message.content, "tool_calls": [_call(call) for call in calls]}


def _call(call: Any) -> Data:
    data: Data = {
        "id": call.id,
        "function": {"name": call.function.name, "arguments": call.function.arguments},
    }
    if isinstance(index := getattr(call, "index", None), int):
        data["index"] = index
    return data


def _usage(response: Any) -> Data | None:
    usage = getattr(response, "usage", None)
    if usage is None:
        return None
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
