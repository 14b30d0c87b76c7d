"""Models behind an OpenAI-compatible server, over httpx."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from crewkit.errors import ModelError
from crewkit.models.base import Answer, Request, Watch
from crewkit.models.http import (
    CONNECT_SECONDS,
    RETRYABLE,
    SHOWN,
    Lanes,
    at_loop_end,
    refuse_real_model,
    seconds_until,
)
from crewkit.models.prices import Prices
from crewkit.models.wire import LARGEST, Assembly, Data, Encoder, Lines, read_completion

if TYPE_CHECKING:
    import httpx

_ADVICE = {
    401: "Check the key in {key}.",
    403: "Check what the key in {key} may do.",
    404: "Check the model's name and the base URL.",
}


class ChatModel:
    """A model behind an OpenAI-compatible server: chat completions with tools, streamed or whole.

    Args:
        model: The model's name as the server knows it.
        base_url: Where the server is, `/v1` included, for example `http://localhost:8000/v1`.
        api_key: Sent as a bearer token; left out where there is none.
        name: The model's name as people write it; errors, prices and the transcript show it.
        headers: Sent with every request.
        key_name: Where the key comes from, for the advice of an error.
        stream: Ask for the answer in pieces, and tell them to `watch.chunk`.
        transport: Sends the requests instead of connections of our own.
        environ: Where `CREWKIT_NO_NETWORK` and its like are looked up.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None = None,
        *,
        name: str = "",
        headers: Mapping[str, str] | None = None,
        key_name: str = "OPENAI_API_KEY",
        stream: bool = False,
        prices: Prices | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        import httpx

        self.name = name or model
        self._url = httpx.URL(base_url.rstrip("/") + "/chat/completions")
        self._key = api_key or ""
        self._key_name = key_name
        self._stream = stream
        self._prices = prices or Prices()
        self._transport = transport
        self._environ = environ
        sent = {
            "Host": self._url.netloc.decode(),
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        }
        bearer = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._headers = httpx.Headers({**sent, "User-Agent": "crewkit", **bearer, **(headers or {})})
        is_openai = self._url.host == "api.openai.com"
        self._encoder = Encoder(model, max_tokens="max_completion_tokens" if is_openai else "max_tokens")
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, Lanes] = WeakKeyDictionary()

    def context_window(self) -> int | None:
        """Return how many tokens the model can be sent, `None` where that is unknown."""
        return self._prices.context_window(self.name)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count tokens by the model's own tokenizer. Blocks: litellm is imported for it."""
        from crewkit.models.litellm import count_tokens

        return count_tokens(self.name, texts)

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Send the request; return the whole answer.

        Raises:
            ModelError: There was none; the message says which model, where, what, and what to do.
        """
        import httpx

        refuse_real_model(self.name, self._url.host, self._environ)
        try:
            async with asyncio.timeout(request.timeout):
                answer = read_completion(await self._completion(request, watch), request)
        except TimeoutError as error:
            raise self._error(f"gave no whole answer in {request.timeout:g} s.") from error
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise self._error(f"could not be talked to: {why}") from error
        except ModelError as error:
            raise self._error(str(error), like=error) from error.__cause__
        usage = answer.usage
        usd = self._prices.price(self.name, usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        return replace(answer, usd=usd, model=answer.model or self.name)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what a call of this size costs in usd, `None` where the price is unknown."""
        return self._prices.price(self.name, input_tokens, output_tokens)

    async def close(self) -> None:
        """Close the running loop's connections. The end of the loop does it too."""
        lanes = self._lanes.pop(asyncio.get_running_loop(), None)
        if lanes is not None:
            await lanes.close()

    async def _completion(self, request: Request, watch: Watch) -> Data:
        if self._transport is not None:
            return await self._exchange(self._transport, request, watch)
        lanes = await self._my_lanes()
        lane = lanes.take()
        whole = False
        try:
            completion = await self._exchange(lane, request, watch)
            whole = True
            return completion
        finally:
            await lanes.give(lane, whole=whole)

    async def _my_lanes(self) -> Lanes:
        loop = asyncio.get_running_loop()
        lanes = self._lanes.get(loop)
        if lanes is None:
            lanes = self._lanes[loop] = Lanes(self._url)
            await at_loop_end(lanes, lanes.close)
        return lanes

    async def _exchange(self, sender: httpx.AsyncBaseTransport, request: Request, watch: Watch) -> Data:
        response = await sender.handle_async_request(self._http_request(request))
        try:
            if response.status_code != 200:
                raise self._refusal(response, await _read(response))
            if "text/event-stream" in response.headers.get("content-type", ""):
                completion = await _assemble(response, watch)
            else:
                completion = _parse(await _read(response))
        finally:
            await response.aclose()
        if completion.get("error"):
            code = _mapping(completion["error"]).get("code")
            retryable = code not in (400, 401, 403, 404)
            raise ModelError(f"sent an error: {self._said(completion)}", retryable=retryable)
        return completion

    def _http_request(self, request: Request) -> httpx.Request:
        import httpx

        body = self._encoder.encode(request, stream=self._stream)
        headers = self._headers.copy()
        headers["Content-Length"] = str(len(body))
        limit = {"timeout": {"connect": min(CONNECT_SECONDS, request.timeout)}}
        return httpx.Request(
            "POST", self._url, headers=headers, stream=httpx.ByteStream(body), extensions=limit
        )

    def _refusal(self, response: httpx.Response, body: bytes) -> ModelError:
        status = response.status_code
        try:
            said = self._said(_parse(body))
        except ModelError:
            said = self._cut(body.decode("utf-8", "replace"))
        advice = _ADVICE.get(status, "").format(key=self._key_name)
        return ModelError(
            f"answered with status {status}: {said}{' ' if advice else ''}{advice}",
            retryable=status in RETRYABLE or status >= 500,
            status=status,
            retry_after=seconds_until(response.headers.get("retry-after", "")),
        )

    def _said(self, body: Data) -> str:
        error = body.get("error", body)
        return self._cut(str(_mapping(error).get("message") or error))

    def _cut(self, text: str, most: int = SHOWN) -> str:
        hidden = text.replace(self._key, "[key]") if self._key else text
        return hidden if len(hidden) <= most else hidden[:most] + "…"

    def _error(self, what: str, *, like: ModelError | None = None) -> ModelError:
        like = like or ModelError("", retryable=True)
        text = f"Model '{self.name}' at {self._url.netloc.decode()} {self._cut(what, 2 * SHOWN)}"
        return ModelError(text, retryable=like.retryable, status=like.status, retry_after=like.retry_after)


async def _read(response: httpx.Response) -> bytes:
    parts = [part async for part in _capped(response)]
    return b"".join(parts)


async def _assemble(response: httpx.Response, watch: Watch) -> Data:
    lines, assembly = Lines(), Assembly()
    async for part in _capped(response):
        for payload in lines.feed(part):
            if payload == b"[DONE]":
                assembly.done = True
            elif payload:
                chunk = _parse(payload)
                if chunk.get("error"):
                    return chunk
                if text := assembly.add(chunk):
                    watch.chunk(text)
    if not assembly.done:
        raise ModelError("sent a stream that broke off before its end.", retryable=True)
    return assembly.completion()


async def _capped(response: httpx.Response) -> AsyncIterator[bytes]:
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > LARGEST:
            raise ModelError(f"sent more than {LARGEST:,} bytes; the rest was not read.")
        yield part


def _parse(body: bytes) -> Data:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        shown = body[: 4 * SHOWN].decode("utf-8", "replace")
        raise ModelError(f"sent something that is not JSON: {shown!r}", retryable=True) from error
    if not isinstance(value, dict):
        raise ModelError(f"sent JSON that is no completion: {value}", retryable=True)
    return cast("Data", value)


def _mapping(value: object) -> Data:
    return cast("Data", value) if isinstance(value, dict) else {}
