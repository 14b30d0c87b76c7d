"""From the name of a model, as people write it, to the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from crewkit.core.clock import Clock, SystemClock
from crewkit.errors import DefinitionError, did_you_mean
from crewkit.models.base import Model
from crewkit.models.http import is_loopback, refuse_real_model
from crewkit.models.prices import Prices
from crewkit.models.retry import RetryingModel
from crewkit.models.route import Capable, Health, Route, Table
from crewkit.models.throttled import ThrottledModel
from crewkit.resilience.places import OwnPlaces, Places
from crewkit.resilience.retry import Retry
from crewkit.resilience.throttle import Rate

OFFLINE = "offline"

KEYS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "azure": ("AZURE_API_KEY", "AZURE_AD_TOKEN"),
    "azure_ai": ("AZURE_AI_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "dashscope": ("DASHSCOPE_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "fireworks_ai": ("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY", "FIREWORKSAI_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "moonshot": ("MOONSHOT_API_KEY",),
    "nebius": ("NEBIUS_API_KEY",),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "replicate": ("REPLICATE_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_API_KEY"),
    "xai": ("XAI_API_KEY",),
}
"""The environment variables that hold a provider's key; one of them is enough."""

_OWN_ROUTE = ("openai", "hosted_vllm", "ollama", "ollama_chat", "lm_studio")
"""Providers that speak chat completions, reached without litellm."""

_KEYLESS = ("bedrock", "vertex_ai", "sagemaker", "litellm_proxy", "llamafile", "custom_openai")
"""Providers whose credentials are not one variable; litellm looks for them."""


def resolve(
    spec: str | Capable | Sequence[str | Model] | Model,
    *,
    environ: Mapping[str, str],
    offline: Callable[[], Model],
    stream: bool = False,
    retry: Retry | None = None,
    clock: Clock | None = None,
    prices: Prices | None = None,
    routes: Mapping[str, Route] | None = None,
    health: Health | None = None,
    places: Places | None = None,
) -> Model:
    """Return the model that a name means: a route, `offline`, a litellm name, or several to be tried in order.

    A server given by base URL (`OPENAI_BASE_URL`, `HOSTED_VLLM_API_BASE`, `OLLAMA_API_BASE`,
    `LM_STUDIO_API_BASE`) and OpenAI itself are spoken to directly, everything else through litellm. Named
    models are retried; a model that is passed in is used as it is.

    Args:
        spec: A name, names with commas between, a list of names and models, a model, or what one has to be able to do.
        environ: Where keys and base URLs are looked up.
        offline: Makes the embedded model.
        stream: Ask for answers in pieces, for a live view.
        retry: How often and how patiently to ask again.
        clock: Waits between attempts.
        prices: Shared, so that the price list is read once.
        routes: The model table: names of one's own, looked up first.
        health: What is known of failing routes.
        places: Where requests wait, where a route has a cap on how many.

    Raises:
        DefinitionError: No such provider, no key for it, no route that can, or a real model in a test.
    """
    prices = prices or Prices()
    waiting = places or OwnPlaces(clock or SystemClock())

    def one(name: str, retry: Retry | None, of: Route | None = None) -> Model:
        if name == OFFLINE:
            return capped(offline(), of)
        model = capped(_named(name, environ, prices, stream=stream), of)
        return RetryingModel(model, retry, clock=clock)

    def capped(model: Model, of: Route | None) -> Model:
        if of is None or (of.rate is None and of.concurrency is None):
            return model
        rate = of.rate if isinstance(of.rate, Rate) else None
        return ThrottledModel(model, waiting, rate=rate, concurrency=of.concurrency)

    def route(of: Route) -> Model:
        own = replace(retry or Retry(), attempts=of.retries + 1)
        names = _names(of.model)
        return _in_order(
            [one(each, own, of) if isinstance(each, str) else capped(each, of) for each in names]
        )

    table = Table(routes or {}, route, prices, health)
    if isinstance(spec, Capable):
        return table.needed(spec)
    names = _names(spec)
    if routes and all(isinstance(each, str) and each in table for each in names):
        return table.named(*map(str, names))
    return _in_order(
        [
            each if not isinstance(each, str) else table.named(each) if each in table else one(each, retry)
            for each in names
        ]
    )


def _names(spec: str | Sequence[str | Model] | Model) -> Sequence[str | Model]:
    if isinstance(spec, str):
        return [name.strip() for name in spec.split(",") if name.strip()]
    return spec if isinstance(spec, Sequence) else [spec]


def _in_order(models: Sequence[Model]) -> Model:
    from crewkit.models.fallback import Fallback

    return models[0] if len(models) == 1 else Fallback(models)


@dataclass(frozen=True, slots=True)
class Way:
    """How a named model is reached."""

    provider: str
    model: str
    full_name: str
    """With its provider."""
    base: str | None
    """Its base URL; `None` where only litellm knows."""
    host: str
    key: str | None
    key_name: str


def reached(name: str, environ: Mapping[str, str], prices: Prices | None = None) -> Way:
    """Find out how a named model is reached.

    Raises:
        DefinitionError: There is no such provider, or no key for it.
    """
    provider, model = _provider(name, environ, prices or Prices())
    base = _base_url(provider, environ)
    host = (urlsplit(base).hostname or "") if base else f"the servers of {provider}"
    if base and not host:
        raise DefinitionError(
            f"Model '{name}': its base URL '{base}' has no host. Write http://host:port/v1."
        )
    names = KEYS.get(provider, (f"{provider.upper()}_API_KEY",))
    key = next((environ[one] for one in names if environ.get(one)), None)
    if key is None and provider in KEYS and not is_loopback(host):
        raise DefinitionError(
            f"Model '{name}' needs {' or '.join(names)}, which is not set. "
            f"Put it in the environment or in .env, or run with --model offline."
        )
    full = name if "/" in name else f"{provider}/{name}"
    return Way(provider, model, full, base, host, key, names[0])


def _named(name: str, environ: Mapping[str, str], prices: Prices, *, stream: bool) -> Model:
    way = reached(name, environ, prices)
    refuse_real_model(name, way.host, environ)
    if way.provider in _OWN_ROUTE and way.base:
        from crewkit.models.chat import ChatModel

        return ChatModel(
            way.model,
            way.base,
            way.key,
            name=name,
            key_name=way.key_name,
            stream=stream,
            prices=prices,
            environ=environ,
        )
    from crewkit.models.litellm import LitellmModel

    return LitellmModel(
        way.full_name,
        api_base=way.base,
        api_key=way.key,
        key_name=way.key_name,
        stream=stream,
        prices=prices,
        environ=environ,
    )


def _provider(name: str, environ: Mapping[str, str], prices: Prices) -> tuple[str, str]:
    """Split a name into its provider and the rest; a bare name belongs to who is listed for it."""
    provider, slash, model = name.partition("/")
    if slash and (provider in KEYS or provider in _OWN_ROUTE or provider in _KEYLESS):
        return provider, model
    if slash and provider in prices.providers:
        return provider, model
    if slash:
        hint = did_you_mean(provider, [*KEYS, *_OWN_ROUTE, *_KEYLESS])
        raise DefinitionError(
            f"Model '{name}': there is no provider '{provider}'.{hint} For a model of that name on a server "
            f"of your own, write 'openai/{name}' and set OPENAI_BASE_URL."
        )
    if _given_base_url("openai", environ) or name.startswith("gpt"):
        return "openai", name
    listed = prices.provider(name)
    if listed is None:
        hint = did_you_mean(name, [OFFLINE])
        raise DefinitionError(
            f"Model '{name}' names no provider.{hint} Write for example 'openai/{name}' or 'ollama/{name}', "
            f"or 'offline'."
        )
    return listed, name


_BASES: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "ollama": ("OLLAMA_API_BASE",),
    "ollama_chat": ("OLLAMA_API_BASE",),
}
_USUAL_BASES: Mapping[str, str] = {
    "openai": "https://api.openai.com/v1",
    "ollama": "http://localhost:11434",
    "ollama_chat": "http://localhost:11434",
}


def _base_url(provider: str, environ: Mapping[str, str]) -> str | None:
    """Return where a provider's server is; `None` where only litellm knows."""
    base = _given_base_url(provider, environ) or _USUAL_BASES.get(provider)
    if base and provider.startswith("ollama") and not base.rstrip("/").endswith("/v1"):
        return base.rstrip("/") + "/v1"  # beside its own protocol, Ollama speaks chat completions there
    return base


def _given_base_url(provider: str, environ: Mapping[str, str]) -> str | None:
    upper = provider.upper()
    names = _BASES.get(provider, (f"{upper}_API_BASE", f"{upper}_BASE_URL"))
    return next((environ[name] for name in names if environ.get(name)), None)
