import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.errors import InputError
from crewkit.memory.documents import read_document
from crewkit.memory.split import split
from crewkit.memory.web import html_text

PAGE = """<!doctype html><html><head><title>Bilge pumps</title><style>p {color: red}</style></head><body>
<nav><a href="/">Home</a></nav>
<h2>Yearly  <em>work</em></h2><p>Change the impeller,
part <b>BX-4017</b>.<br>Grease it.</p><!-- not said -->
<ul><li>Pull the plug<li><p>Wait <i>two</i> minutes</p><ul><li>or three</ul></ul>
<table><tr><th>Part</th><th>Price</th></tr><tr><td>Seal</td><td><p>4 &euro;</p></td></tr></table>
<pre>
 volts = 12
   amps = 3</pre><script>alert("x")</script><div>Last words"""

TEXT = """# Bilge pumps

## Yearly work

Change the impeller, part BX-4017.

Grease it.

- Pull the plug
- Wait two minutes
- or three

| Part | Price |
| Seal | 4 € |

```
 volts = 12
   amps = 3
```

Last words
"""


def test_a_page_keeps_its_structure() -> None:
    assert html_text(PAGE) == TEXT


def test_passages_of_a_page_know_their_headings_and_their_place(tmp_path: Path) -> None:
    (tmp_path / "pumps.html").write_text(PAGE)
    text = read_document(tmp_path / "pumps.html")
    passages = split(text, source="pumps.html", title="pumps", max_chars=80)
    assert all(text[p.start : p.end] == p.text for p in passages)
    (seal,) = [p for p in passages if "Seal" in p.text]
    assert seal.title == "pumps \u203a Bilge pumps \u203a Yearly work"


@given(st.text(alphabet="<>/ab!-p1hiltr&;\n \"'=", max_size=200))
def test_any_text_is_read_as_a_page(html: str) -> None:
    assert isinstance(html_text(html), str)


def test_a_page_may_nest_as_deep_as_it_likes() -> None:
    begun = time.monotonic()
    assert html_text("<div>" * 20_000 + "deep") == "deep\n"
    assert time.monotonic() - begun < 60


def pdf(pages: list[str]) -> bytes:
    """Write the smallest PDF with these lines of text."""
    kids = " ".join(f"{3 + 2 * i} 0 R" for i in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * i} 0 R /Resources {font} >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    data, places = b"%PDF-1.4\n", []
    for i, each in enumerate(objects, 1):
        places.append(len(data))
        data += f"{i} 0 obj\n{each}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    data += f"xref\n0 {size}\n0000000000 65535 f \n{table}".encode()
    return (
        data + f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{data.rindex(b'xref')}\n%%EOF\n".encode()
    )


def test_the_pages_of_a_pdf_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.PDF").write_bytes(pdf(["Herons nest in March.", "", "Otters sleep by day."]))
    text = read_document(tmp_path / "a.PDF")
    assert text == "## Page 1\n\nHerons nest in March.\n\n## Page 3\n\nOtters sleep by day.\n"
    assert [p.title for p in split(text, source="a.PDF", title="a")] == ["a \u203a Page 1", "a \u203a Page 3"]


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"%PDF-1.4 nothing", "no PDF that can be read"), (pdf([""]), "only pictures"), (b"", "no PDF")],
)
def test_a_pdf_without_text_is_refused_by_name(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "a.pdf").write_bytes(data)
    with pytest.raises(InputError, match=why):
        read_document(tmp_path / "a.pdf")
