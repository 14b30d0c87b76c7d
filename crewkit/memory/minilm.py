"""Sentence embeddings by small BERT models, without torch: in numpy, or by onnxruntime."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import struct
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from crewkit.errors import CrewkitError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_MOST_TOKENS = 256
"""Of a text; the model was trained on no more, the rest is left out."""
_MOST_CHARACTERS = 8_192
"""More cannot matter for 256 tokens, but costs the tokenizer time."""
_BATCH_TOKENS = 4_096


class _Tokens:
    """A model's tokenizer."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MOST_TOKENS)

    def ids(self, text: str) -> list[int]:
        """Return the token ids of a text's beginning."""
        # One by one: the tokenizer's own threads would complain at every later fork.
        clean = text[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
        return self._tokenizer.encode(clean).ids


class MiniLM:
    """A BERT sentence model from its safetensors file, computed by numpy.

    Nothing is read before the first `embed` but the model's configuration.
    """

    PACKAGED_SHA256: ClassVar[str] = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    """Of the weights of all-MiniLM-L6-v2, as its authors published them."""

    def __init__(
        self, folder: Path, *, id: str | None = None, sha256: str | None = None, home: Path | None = None
    ) -> None:
        """Describe the model in `folder`.

        Args:
            folder: Holds `model.safetensors`, `tokenizer.json` and `config.json`.
            id: Name of the model; by default made from the folder's name and the weights.
            sha256: What the weights must hash to, in hexadecimal; by default any weights will do.
            home: Folder in which to remember that the weights were checked.

        Raises:
            InputError: The model is no BERT with mean pooling.
        """
        config = _config(folder)
        self.folder = folder
        self._weights_file = folder / "model.safetensors"
        self.id = id or f"{folder.name}-{_print_of(self._weights_file)}"
        self.dimension: int = config["hidden_size"]
        self._heads: int = config["num_attention_heads"]
        self._layers: int = config["num_hidden_layers"]
        self._epsilon: float = config["layer_norm_eps"]
        self._sha256 = sha256
        self._home = home
        self._lock = threading.Lock()
        self._model: tuple[_Tokens, _Bert] | None = None

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Say whether a folder holds such a model."""
        return all(
            (folder / name).is_file() for name in ("model.safetensors", "tokenizer.json", "config.json")
        )

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return one row of length 1 for each text.

        Raises:
            CrewkitError: The weights are not those they should be.
        """
        import numpy as np

        tokens, bert = self._loaded()
        ids = [tokens.ids(text) for text in texts]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for batch in batches([len(i) for i in ids], _BATCH_TOKENS):
            vectors[batch] = bert.vectors([ids[i] for i in batch])
        return vectors

    def _loaded(self) -> tuple[_Tokens, _Bert]:
        with self._lock:
            if self._model is None:
                if self._sha256 is not None:
                    _check(self._weights_file, self._sha256, self._home)
                weights = _read_safetensors(self._weights_file)
                self._model = _Tokens(self.folder), _Bert(weights, self._layers, self._heads, self._epsilon)
            return self._model


def batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield the positions of texts, short ones first, in batches of `most` tokens (or one longer text)."""
    batch: list[int] = []
    tokens = 0
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and tokens + lengths[i] > most:
            yield batch
            batch, tokens = [], 0
        batch.append(i)
        tokens += lengths[i]
    if batch:
        yield batch


class _Bert:
    """BERT's forward pass over several texts at once.

    Their tokens stand in one row without padding, so a text's vector does not depend on its batch.
    """

    def __init__(self, weights: dict[str, Floats], layers: int, heads: int, epsilon: float) -> None:
        self._heads = heads
        self._epsilon = epsilon
        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = (
            weights["embeddings.position_embeddings.weight"]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _pair(weights, "embeddings.LayerNorm")
        self._layers = [_Layer(weights, f"encoder.layer.{i}.", heads) for i in range(layers)]

    def vectors(self, ids: Sequence[Sequence[int]]) -> Floats:
        """Return the mean of each text's token vectors, brought to length 1."""
        import numpy as np

        lengths = np.array([len(i) for i in ids])
        ends = np.cumsum(lengths)
        starts = ends - lengths
        spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
        places = np.concatenate([np.arange(len(i), dtype=np.int64) for i in ids])
        x = self._normed(self._words[np.concatenate(ids)] + self._places[places], *self._norm)
        for layer in self._layers:
            x = self._normed(x + layer.attend(x, spans, self._heads), *layer.norm_attention)
            x = self._normed(x + layer.think(x), *layer.norm_output)
        means = np.add.reduceat(x, starts, axis=0) / lengths[:, None].astype(np.float32)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def _normed(self, x: Floats, scale: Floats, shift: Floats) -> Floats:
        x -= x.mean(axis=1, keepdims=True)
        deviation = ((x * x).mean(axis=1, keepdims=True) + x.dtype.type(self._epsilon)) ** 0.5
        x /= deviation
        x *= scale
        x += shift
        return x


class _Layer:
    """One layer's weights, laid out for products from the right."""

    def __init__(self, weights: dict[str, Floats], prefix: str, heads: int) -> None:
        import numpy as np

        parts = [_pair(weights, f"{prefix}attention.self.{name}") for name in ("query", "key", "value")]
        size = parts[0][0].shape[0]
        scale = np.float32(1 / math.sqrt(size // heads))
        self._attend = (
            np.concatenate([parts[0][0] * scale, parts[1][0], parts[2][0]]).T.copy(),
            np.concatenate([parts[0][1] * scale, parts[1][1], parts[2][1]]),
        )
        self._merge = _turned(weights, f"{prefix}attention.output.dense")
        self._widen = _turned(weights, f"{prefix}intermediate.dense")
        self._narrow = _turned(weights, f"{prefix}output.dense")
        self.norm_attention = _pair(weights, f"{prefix}attention.output.LayerNorm")
        self.norm_output = _pair(weights, f"{prefix}output.LayerNorm")

    def attend(self, x: Floats, spans: Sequence[tuple[int, int]], heads: int) -> Floats:
        """Let the tokens of each text look at one another."""
        import numpy as np

        projected = x @ self._attend[0] + self._attend[1]
        mixed = np.empty_like(x)
        for start, end in spans:
            q, k, v = projected[start:end].reshape(end - start, 3, heads, -1).transpose(1, 2, 0, 3)
            shares = q @ k.swapaxes(1, 2)
            shares -= shares.max(axis=2, keepdims=True)
            np.exp(shares, out=shares)
            shares /= shares.sum(axis=2, keepdims=True)
            mixed[start:end] = (shares @ v).transpose(1, 0, 2).reshape(end - start, -1)
        return mixed @ self._merge[0] + self._merge[1]

    def think(self, x: Floats) -> Floats:
        """Apply the feed-forward part."""
        wide: Floats = x @ self._widen[0] + self._widen[1]
        # In blocks that stay in the processor's cache: three times as fast.
        for start in range(0, len(wide), 64):
            _gelu(wide[start : start + 64])
        narrow: Floats = wide @ self._narrow[0] + self._narrow[1]
        return narrow


# The normal distribution as (1 + tanh(x * polynomial(x²))) / 2: a fit of atanh(erf(x / sqrt 2)) / x, whose
# error in gelu is below 4e-6 everywhere. numpy has no erf, and its tanh uses the processor's vectors.
_GELU = (1.112639918317282e-06, -3.0467333983665544e-05, -0.00012547556446333187, 0.0364699299135686)
_GELU_LAST = 0.7978275767221187
_GELU_END = 27.0
"""Of x²: beyond it tanh is 1 or -1 in float32."""


def _gelu(x: Floats) -> None:
    """Apply the exact (erf) gelu in place."""
    import numpy as np

    square = np.minimum(x * x, np.float32(_GELU_END))
    inner = square * np.float32(_GELU[0])
    for coefficient in _GELU[1:]:
        inner += np.float32(coefficient)
        inner *= square
    inner += np.float32(_GELU_LAST)
    inner *= x
    np.tanh(inner, out=inner)
    inner += 1
    x *= inner
    x *= np.float32(0.5)


class OnnxMiniLM:
    """A sentence model as an ONNX file, such as Chroma's own cached MiniLM, computed by onnxruntime."""

    def __init__(self, folder: Path, *, id: str | None = None, dimension: int = 384) -> None:
        """Describe the model in `folder`, which holds `model.onnx` and `tokenizer.json`."""
        self.folder = folder
        self.id = id or f"{folder.name}-{_print_of(folder / 'model.onnx')}"
        self.dimension = dimension
        self._lock = threading.Lock()
        self._model: tuple[_Tokens, Any] | None = None

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Say whether a folder holds such a model."""
        return all((folder / name).is_file() for name in ("model.onnx", "tokenizer.json"))

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return one row of length 1 for each text."""
        import numpy as np

        tokens, session = self._loaded()
        ids = [tokens.ids(text) for text in texts]
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for batch in batches([len(i) for i in ids], _BATCH_TOKENS):
            vectors[batch] = self._vectors(session, [ids[i] for i in batch])
        return vectors

    def _vectors(self, session: Any, ids: Sequence[Sequence[int]]) -> Floats:
        import numpy as np

        shape = len(ids), max(len(i) for i in ids)
        fed = {name: np.zeros(shape, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
        for row, i in enumerate(ids):
            fed["input_ids"][row, : len(i)] = i
            fed["attention_mask"][row, : len(i)] = 1
        wanted = {i.name for i in session.get_inputs()}
        output: Floats = session.run(None, {name: array for name, array in fed.items() if name in wanted})[0]
        mask = fed["attention_mask"][:, :, None].astype(np.float32)
        means: Floats = (output * mask).sum(axis=1) / mask.sum(axis=1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def _loaded(self) -> tuple[_Tokens, Any]:
        with self._lock:
            if self._model is None:
                import onnxruntime

                # The session is kept: building it costs forty times as much as a query.
                session = onnxruntime.InferenceSession(
                    str(self.folder / "model.onnx"), providers=["CPUExecutionProvider"]
                )
                self._model = _Tokens(self.folder), session
            return self._model


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    pooling_file = folder / "1_Pooling" / "config.json"
    pooling: dict[str, Any] = json.loads(pooling_file.read_text("utf-8")) if pooling_file.is_file() else {}
    kind = config.get("model_type"), config.get("hidden_act"), bool(pooling.get("pooling_mode_cls_token"))
    if kind != ("bert", "gelu", False):
        raise InputError(
            f"The model in '{folder}' is {kind[0]} with {kind[1]}{' and CLS pooling' if kind[2] else ''}; "
            "crewkit computes BERT with gelu and mean pooling. Give a directory with its model.onnx instead."
        )
    return config


def _print_of(file: Path) -> str:
    """Tell a model from others of the same name by its size and beginning."""
    with file.open("rb") as opened:
        beginning = opened.read(1 << 20)
    return hashlib.blake2b(beginning + str(file.stat().st_size).encode(), digest_size=4).hexdigest()


def _check(file: Path, sha256: str, home: Path | None) -> None:
    """Check the file's hash, once for each state of the file where there is a home to remember it."""
    status = file.stat()
    state = f"{sha256} {status.st_size} {status.st_mtime_ns} {file}"
    noted = home / "weights-checked" if home else None
    if noted and noted.is_file() and noted.read_text("utf-8", "surrogateescape") == state:
        return
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != sha256:
        raise CrewkitError(
            f"The embedding model {file} is damaged: its sha256 is {found}, not {sha256}. Install it again."
        )
    if noted:
        with contextlib.suppress(OSError):  # it is checked again next time
            noted.parent.mkdir(parents=True, exist_ok=True)
            noted.write_text(state, "utf-8", "surrogateescape")


def _read_safetensors(file: Path) -> dict[str, Floats]:
    """Map a safetensors file's float32 tensors; pages are read when they are used."""
    import numpy as np

    with file.open("rb") as opened:
        data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    (size,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    tensors: dict[str, Floats] = {}
    for name, about in header.items():
        if name != "__metadata__" and about["dtype"] == "F32":
            shape: list[int] = about["shape"]
            tensor = np.frombuffer(data, "<f4", math.prod(shape), 8 + size + about["data_offsets"][0])
            tensors[name] = tensor.reshape(shape)
    return tensors


def _pair(weights: dict[str, Floats], name: str) -> tuple[Floats, Floats]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _turned(weights: dict[str, Floats], name: str) -> tuple[Floats, Floats]:
    weight, bias = _pair(weights, name)
    return weight.T.copy(), bias
