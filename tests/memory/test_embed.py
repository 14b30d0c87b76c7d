import json
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crewkit.errors import CrewkitError, InputError
from crewkit.memory.embed import default_embedder, embedder_in
from crewkit.memory.minilm import MiniLM, OnnxMiniLM, batches


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    embedder = default_embedder()
    assert isinstance(embedder, MiniLM)
    return embedder


def test_vectors_are_those_its_authors_publish(minilm: MiniLM) -> None:
    # From the model's card and the quickstart of sentence-transformers.
    vectors = minilm.embed(["This is an example sentence", "Each sentence is converted"])
    assert vectors[0, :4] == pytest.approx([6.7657e-02, 6.3496e-02, 4.8713e-02, 7.9305e-02], abs=1e-5)
    assert vectors[1, :4] == pytest.approx([8.6439e-02, 1.0276e-01, 5.3946e-03, 2.0444e-03], abs=1e-5)
    weather = minilm.embed(
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    )
    cosines = weather @ weather.T
    assert [cosines[0, 1], cosines[0, 2], cosines[1, 2]] == pytest.approx([0.6660, 0.1046, 0.1411], abs=1e-4)


def test_a_text_has_the_same_vector_alone_and_in_a_batch(minilm: MiniLM) -> None:
    texts = [
        "a",
        "",
        "word " * 500,
        "lone \ud800",
        "Réservé aux piétons.",
        *(f"number {i} " * i for i in range(0, 40, 8)),
    ]
    together = minilm.embed(texts)
    alone = np.concatenate([minilm.embed([text]) for text in texts])
    assert together.shape == (10, 384)
    assert together.dtype == np.float32
    assert np.abs(together - alone).max() < 1e-5
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("How do I reset my password?", "I forgot my login secret", "The cake needs forty minutes"),
        ("The invoice was paid twice", "We were charged two times", "Whales are mammals"),
        ("The doctor examined the child", "A physician looked at the boy", "The train leaves at noon"),
    ],
)
def test_what_means_the_same_is_nearer_than_what_does_not(
    minilm: MiniLM, one: str, same: str, other: str
) -> None:
    vectors = minilm.embed([one, same, other])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_texts_are_batched_short_ones_first() -> None:
    assert list(batches([5, 1, 9, 2, 2], 5)) == [[1, 3, 4], [0], [2]]
    assert list(batches([], 5)) == []


def test_the_setting_names_the_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWKIT_EMBEDDER", "none")
    assert default_embedder() is None
    monkeypatch.setenv("CREWKIT_EMBEDDER", str(tmp_path))
    with pytest.raises(InputError, match="no embedding model"):
        default_embedder()
    assert default_embedder(environ={"CREWKIT_EMBEDDER": "none"}) is None
    with pytest.raises(InputError, match=r"no folder here.*ModelEmbedder\('openai/small'"):
        default_embedder(environ={"CREWKIT_EMBEDDER": "openai/small"})


def test_without_a_model_people_are_told_how_to_get_one() -> None:
    code = (
        "from crewkit.memory.embed import default_embedder\n"
        "said = []\n"
        "assert default_embedder(say=said.append) is None\n"
        "print(*said)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        # Without site-packages: what needs no package is found from the checkout alone.
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": "/nonexistent"},
    )
    assert "no embedding model" in done.stdout
    assert "crewkit memory setup" in done.stdout


def write_model(folder: Path, config: dict[str, object]) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_act": "gelu", **config}))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    (folder / "tokenizer.json").write_text("{}")


def test_weights_that_are_not_those_published_are_refused_and_good_ones_checked_once(tmp_path: Path) -> None:
    sizes = {"hidden_size": 4, "num_attention_heads": 1, "num_hidden_layers": 0, "layer_norm_eps": 1e-12}
    write_model(tmp_path / "m", sizes)
    with pytest.raises(CrewkitError, match="damaged"):
        MiniLM(tmp_path / "m", sha256="0" * 64, home=tmp_path).embed(["x"])
    assert not (tmp_path / "weights-checked").exists()
    packaged = default_embedder(tmp_path)
    assert packaged is not None
    packaged.embed(["x"])
    assert MiniLM.PACKAGED_SHA256 in (tmp_path / "weights-checked").read_text()


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "m", {"hidden_act": "relu"})
    with pytest.raises(InputError, match="bert with relu"):
        embedder_in(tmp_path / "m")


def field(number: int, value: int | bytes | str) -> bytes:
    """Write one field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def value_info(name: str, element: int, dims: Sequence[str]) -> bytes:
    shape = b"".join(field(1, field(2, dim)) for dim in dims)
    return field(1, name) + field(2, field(1, field(1, element) + field(2, shape)))


def test_an_onnx_model_is_pooled_over_its_own_tokens(minilm: MiniLM, tmp_path: Path) -> None:
    """The smallest ONNX model there is: each token's vector is a row of a table."""
    table = np.random.default_rng(3).normal(size=(30_522, 8)).astype(np.float32)
    tensor = field(1, 30_522) + field(1, 8) + field(2, 1) + field(8, "table") + field(9, table.tobytes())
    node = field(1, "table") + field(1, "input_ids") + field(2, "last_hidden_state") + field(4, "Gather")
    graph = field(1, node) + field(2, "g") + field(5, tensor)
    graph += field(11, value_info("input_ids", 7, ["batch", "tokens"]))
    graph += field(12, value_info("last_hidden_state", 1, ["batch", "tokens", "size"]))
    (tmp_path / "model.onnx").write_bytes(
        field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))
    )
    (tmp_path / "tokenizer.json").write_bytes((minilm.folder / "tokenizer.json").read_bytes())

    assert isinstance(embedder_in(tmp_path), OnnxMiniLM)
    embedder = OnnxMiniLM(tmp_path, dimension=8)
    vectors = embedder.embed(["hello world", "hello"])
    hello, world = table[7592], table[2088]
    start, end = table[101], table[102]
    for vector, mean in [(vectors[0], start + hello + world + end), (vectors[1], start + hello + end)]:
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
