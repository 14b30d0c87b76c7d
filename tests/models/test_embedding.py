"""Through the real litellm to a real server on loopback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from crewkit.errors import DefinitionError, ModelError
from crewkit.memory.base import Record
from crewkit.memory.embed import default_embedder
from crewkit.memory.semantic import SemanticMemory
from crewkit.models.embedding import ModelEmbedder
from crewkit.testing.memory import FACTS, HashEmbedder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of litellm's clients
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextmanager
def serving(status: int = 200) -> Iterator[tuple[str, list[dict]]]:
    model, asked = HashEmbedder(), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            rows = [
                {"object": "embedding", "index": i, "embedding": (3 * row).tolist()}
                for i, row in enumerate(model.embed(body["input"]))
            ]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            answer = {"object": "list", "data": rows, "model": body["model"], "usage": usage}
            data = json.dumps(answer if status == 200 else {"error": {"message": "no credit"}}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


async def test_an_embedding_model_of_a_provider_serves_memory(tmp_path: Path) -> None:
    with serving() as (url, asked):
        environ = {"CREWKIT_EMBEDDER": "openai/my-embedder", "OPENAI_BASE_URL": url}
        embedder = default_embedder(environ=environ, named=lambda name: ModelEmbedder(name, environ=environ))
        assert embedder is not None
        assert embedder.id == "openai/my-embedder"
        assert embedder.dimension == 64, "it was asked"
        vectors = embedder.embed([f"text {i}" for i in range(130)])
        assert vectors.shape == (130, 64)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
        assert [len(body["input"]) for body in asked] == [1, 100, 30]
        memory = SemanticMemory(tmp_path, embedder=embedder)
        await memory.add([*FACTS, Record("")])
        hits = await memory.recall("Which language does the parrot speak?")
        assert "dense" in hits[0].parts
        assert await memory.embedders() == {"openai/my-embedder": 4}
        await memory.close()


def test_a_provider_that_refuses_is_named_without_the_key() -> None:
    with serving(402) as (url, _):
        embedder = ModelEmbedder(
            "openai/my-embedder", environ={"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-secret-1"}
        )
        with pytest.raises(ModelError, match="no credit") as raised:
            embedder.embed(["a"])
    assert "sk-secret-1" not in str(raised.value)


def test_a_model_that_cannot_be_used_is_found_before_anything_is_asked() -> None:
    with pytest.raises(DefinitionError, match="OPENAI_API_KEY"):
        ModelEmbedder("openai/text-embedding-3-small", environ={})
    with pytest.raises(DefinitionError, match="NO_NETWORK"):
        ModelEmbedder(
            "openai/text-embedding-3-small", environ={"OPENAI_API_KEY": "k", "CREWKIT_NO_NETWORK": "1"}
        )
