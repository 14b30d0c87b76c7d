import subprocess
import sys

import pytest

from crewkit.core.messages import ChatMessage
from crewkit.errors import DefinitionError
from crewkit.models.base import Model, Request, Watch
from crewkit.models.chat import ChatModel
from crewkit.models.fallback import Fallback
from crewkit.models.litellm import LitellmModel
from crewkit.models.prices import Prices
from crewkit.models.resolve import resolve
from crewkit.models.retry import RetryingModel
from crewkit.models.scripted import ScriptedModel
from crewkit.testing.server import ChatServer

PRICES = Prices()
ASKED = Request((ChatMessage("user", "How high is the tide?"),))


def resolved(spec: object, **environ: str) -> Model:
    return resolve(spec, environ=environ, offline=lambda: ScriptedModel([], name="offline"), prices=PRICES)  # type: ignore[arg-type]


def inner(model: Model) -> Model:
    assert isinstance(model, RetryingModel)
    return model.model


async def test_a_base_url_and_no_key_reach_a_server_on_this_machine():
    async with ChatServer(["Noon."]) as server:
        for name in ("openai/org/some-model", "some-model", "gpt-9"):
            model = resolved(name, OPENAI_BASE_URL=server.url)
            assert isinstance(inner(model), ChatModel)
            assert model.name == name
            assert (await model.answer(ASKED, Watch())).content == "Noon."
        assert [seen.body["model"] for seen in server.requests] == ["org/some-model", "some-model", "gpt-9"]
        assert "authorization" not in server.requests[0].headers


async def test_the_key_and_either_variable_of_the_base_url_are_used():
    async with ChatServer(["Noon."]) as server:
        model = resolved("openai/m", OPENAI_API_BASE=server.url, OPENAI_API_KEY="key-1")
        await model.answer(ASKED, Watch())
        assert server.requests[0].headers["authorization"] == "Bearer key-1"


async def test_ollama_and_vllm_are_spoken_to_directly():
    async with ChatServer(["Noon."]) as server:
        root = server.url.removesuffix("/v1")
        for model in (
            resolved("ollama/llama3.1", OLLAMA_API_BASE=root),
            resolved("hosted_vllm/llama3.1", HOSTED_VLLM_API_BASE=server.url),
        ):
            assert isinstance(inner(model), ChatModel)
            assert (await model.answer(ASKED, Watch())).content == "Noon."
        assert {seen.path for seen in server.requests} == {"/v1/chat/completions"}
        assert inner(resolved("ollama/llama3.1")).price(1000, 1000) == 0.0


@pytest.mark.parametrize("name", ["anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"])
def test_other_providers_go_through_litellm(name: str):
    model = inner(resolved(name, ANTHROPIC_API_KEY="k", CREWKIT_ALLOW_REAL_MODELS="1"))
    assert isinstance(model, LitellmModel)
    assert model.name == "anthropic/claude-sonnet-4-5"
    assert model.price(1000, 1000) == pytest.approx(0.018)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("anthropic/claude-x", "ANTHROPIC_API_KEY"),
        ("openai/gpt-x", "OPENAI_API_KEY"),
        ("gpt-x", "OPENAI_API_KEY"),
        ("gemini/gemini-x", "GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("groq/llama", "GROQ_API_KEY"),
    ],
)
def test_a_missing_key_is_named_before_anything_runs(name: str, variable: str):
    with pytest.raises(DefinitionError) as caught:
        resolved(name, OPENAI_API_KEY="")
    assert str(caught.value) == (
        f"Model '{name}' needs {variable}, which is not set. "
        "Put it in the environment or in .env, or run with --model offline."
    )


def test_a_key_does_not_let_a_test_reach_a_real_provider():
    for name, key in (("openai/gpt-x", "OPENAI_API_KEY"), ("anthropic/claude-x", "ANTHROPIC_API_KEY")):
        for place in ({"PYTEST_VERSION": "9"}, {"PYTEST_CURRENT_TEST": "t"}, {"CREWKIT_NO_NETWORK": "1"}):
            with pytest.raises(DefinitionError, match="CREWKIT_ALLOW_REAL_MODELS=1"):
                resolved(name, **{key: "k"}, **place)
        assert (
            resolved(name, **{key: "k"}, CREWKIT_NO_NETWORK="1", CREWKIT_ALLOW_REAL_MODELS="1").name == name
        )


async def test_litellm_does_not_let_a_test_reach_a_real_provider():
    model = LitellmModel("anthropic/claude-x", api_key="k", environ={"PYTEST_VERSION": "9"})
    with pytest.raises(DefinitionError, match="called at the servers of anthropic, but this is a test"):
        await model.answer(ASKED, Watch())


def test_a_misspelt_provider_is_found_with_a_suggestion():
    with pytest.raises(DefinitionError, match=r"no provider 'antropic'\. Did you mean 'anthropic'\?"):
        resolved("antropic/claude-x")
    with pytest.raises(DefinitionError, match="'llama-x' names no provider"):
        resolved("llama-x")
    with pytest.raises(DefinitionError, match=r"Did you mean 'offline'\?"):
        resolved("ofline")
    with pytest.raises(DefinitionError, match="has no host"):
        resolved("openai/m", OPENAI_BASE_URL="localhost:8000")


def test_several_names_are_tried_in_order_and_the_name_reads_back():
    environ = {"OPENAI_BASE_URL": "http://localhost:1/v1"}
    model = resolved(["openai/a", ScriptedModel([], name="own"), "offline"], **environ)
    assert isinstance(model, Fallback)
    assert [one.name for one in model.models] == ["openai/a", "own", "offline"]
    again = resolved("openai/a,offline", **environ)
    assert again.name == "openai/a,offline"
    assert resolved(again.name, **environ).name == again.name


def test_a_model_that_is_passed_in_is_used_as_it_is():
    model = ScriptedModel([])
    assert resolved(model) is model
    assert resolved([model]) is model
    assert resolved("offline").name == "offline"


def test_resolving_imports_neither_litellm_nor_a_network():
    code = (
        "import sys\n"
        "from crewkit.models.resolve import resolve\n"
        "resolve('offline', environ={}, offline=lambda: None)\n"
        "resolve('anthropic/claude-x', environ={'ANTHROPIC_API_KEY': 'k', 'CREWKIT_ALLOW_REAL_MODELS': '1'},"
        " offline=lambda: None)\n"
        "print([m for m in ('litellm', 'httpx', 'tenacity') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
