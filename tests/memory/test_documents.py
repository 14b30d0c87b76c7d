import os
from pathlib import Path

import pytest

from crewkit.errors import InputError
from crewkit.memory.documents import MOST_BYTES, list_documents, read_document


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\r\nlines\n", "plain\r\nlines\n"),
        (b"\xef\xbb\xbfwith mark", "with mark"),
        ("größer".encode("utf-16"), "größer"),
        (b"caf\xe9 noir", "caf\ufffd noir"),
        (b"", ""),
    ],
)
def test_text_is_decoded_without_loss_of_place(tmp_path: Path, data: bytes, text: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(data)
    assert read_document(file) == text


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.md").write_bytes(b"\x89PNG\0\0\0")
    (tmp_path / "large.md").write_bytes(b"x" * (MOST_BYTES + 1))
    os.mkfifo(tmp_path / "pipe.md")
    for name, why in [
        ("image.md", "NUL"),
        ("large.md", "5,000,001 bytes"),
        ("pipe.md", "not a file"),
        ("missing.md", "No such file"),
        (".", "directory"),
    ]:
        with pytest.raises(InputError, match=why):
            read_document(tmp_path / name)


def test_documents_are_listed_in_order_without_hidden_and_foreign_ones(tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text("secret")
    folder = tmp_path / "docs"
    for name in ["b.md", "a.txt", "sub/c.RST", ".hidden.md", ".git/d.md", "e.png"]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    (folder / "link.md").symlink_to(outside)
    (folder / "inner.md").symlink_to(folder / "b.md")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.md").symlink_to(folder / "nothing.md")
    assert [str(path.relative_to(folder)) for path in list_documents(folder)] == [
        "a.txt", "b.md", "inner.md", "sub/c.RST",
    ]  # fmt: skip
    with pytest.raises(InputError, match="no folder"):
        list_documents(folder / "a.txt")
