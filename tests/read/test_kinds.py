"""Each kind of file: its text, its title, where a hit is, and what becomes of a broken or hostile one."""

import gzip
import io
import json
import zipfile

import pytest

from femtosearch.errors import MissingExtraError, ReadError
from femtosearch.read import read
from femtosearch.read.kinds import EXTENSIONS, MODULES, kind_of_file

from .make_files import DC, docx, epub, odt, pdf, place, pptx, zipped


def test_every_extension_leads_to_a_module():
    assert set(EXTENSIONS.values()) <= set(MODULES)
    assert kind_of_file("man7/x.7ssl.gz") == kind_of_file("ls.1") == "man" and kind_of_file("a.7z") is None


# HTML

PAGE = """<!DOCTYPE html><html><head><title>A  page &amp; more</title><meta name="author" content="Ann">
<style>p { color: red }</style><script>var x = "<p>no</p>";</script></head>
<body><nav>Home</nav><h1>Top</h1><p>One <b>bold</b> word,&nbsp;then
another.</p><!-- a comment --><h2>Below</h2>
<ul><li>first<li>second</ul><pre>  kept
   as it is</pre><template>hidden</template><table><tr><td>a<td>b</tr></table>
<p>end of the page</body></html>"""


def test_html(entry):
    page = entry("a.html", PAGE)
    assert page.metadata["title"] == "A page & more" and page.metadata["author"] == "Ann"
    assert "One bold word,\xa0then another." in page.text or "One bold word, then another." in page.text
    assert "  kept\n   as it is" in page.text and "first\nsecond" in page.text
    for hidden in ("color", "var x", "comment", "hidden"):
        assert hidden not in page.text
    assert place(page, "first") == {"line": 5, "heading": ["Top", "Below"]}
    assert place(page, "end of the page")["line"] == 7


def test_html_of_another_encoding_and_without_an_end(entry):
    assert "caf\xe9" in entry("a.htm", "<p>caf\xe9".encode("cp1252")).text
    assert entry("b.html", "<h1>Only<p>text <b").text.startswith("Only")
    assert entry("c.html", "<div>" * 20_000 + "deep").text.endswith("deep")
    assert entry("d.html", "").text == ""


# Notebooks


def notebook(cells):
    return json.dumps({"cells": cells, "nbformat": 4})


def test_a_notebook(entry):
    cells = [
        {"cell_type": "markdown", "source": ["# Load data\n", "from a file"]},
        {"cell_type": "code", "source": "import csv", "outputs": [{"text": "not this"}]},
        {"cell_type": "code", "source": ""},
        {"cell_type": "markdown", "source": "## Clean"},
        {"cell_type": "code", "source": "rows.drop()"},
    ]
    book = entry("a.ipynb", notebook(cells))
    assert book.metadata["title"] == "Load data" and "not this" not in book.text
    assert place(book, "import csv") == {"cell": 2, "heading": ["Load data"]}
    assert place(book, "rows.drop") == {"cell": 5, "heading": ["Load data", "Clean"]}


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"cells": 3}', '{"cells": [1]}', "[" * 5000])
def test_no_notebook(refusal, content):
    assert "expected a Jupyter notebook" in refusal("a.ipynb", content)


# Mail

MESSAGE = b"""From: =?utf-8?q?Ann_K=C3=A4fer?= <ann@example.org>
To: Bob <bob@example.org>
Subject: =?utf-8?b?UmVjaG51bmcgw7xiZXI=?= 30
Date: Mon, 1 Jan 2024 10:00:00 +0000
Message-ID: <1@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe und Dank
--x
Content-Type: application/pdf; name=bill.pdf
Content-Disposition: attachment; filename=bill.pdf
Content-Transfer-Encoding: base64

JVBERg==
--x--
"""


def test_a_message(entry):
    message = entry("a.eml", MESSAGE)
    assert message.metadata["title"] == "Rechnung \xfcber 30"
    assert message.metadata["from"] == "Ann K\xe4fer <ann@example.org>"
    assert "Gr\xfc\xdfe und Dank" in message.text and "[bill.pdf]" in message.text
    html = b"Subject: x\nContent-Type: text/html; charset=no-such\n\n<p>Hello <b>there</b>"
    assert "Hello there" in entry("b.eml", html).text


def test_an_mbox(tmp_path):
    second = b"Subject: two\nMessage-ID: <2@x>\n\n>From the start\n"
    (tmp_path / "a.mbox").write_bytes(b"From a\n" + MESSAGE + b"\nFrom b\n" + second)
    documents = list(read([tmp_path / "a.mbox"]))
    assert [document.metadata["title"] for document in documents] == ["Rechnung \xfcber 30", "two"]
    assert "From the start" in documents[1].text and "[bill.pdf]" in documents[0].text


@pytest.mark.parametrize("content", [b"", b"\n\nno headers", b"\xff" * 100])
def test_no_message(refusal, content):
    assert "expected a message" in refusal("a.eml", content)


# Office


def test_docx(entry):
    content = docx(
        [("berschrift1", "Heat"), ("", "Pumps & valves"), ("berschrift2", "Noise"), ("", "At night")],
        title="House",
        table=[["kWh", "price"], ["1", "30 ct"]],
    )
    document = entry("a.docx", content)
    assert document.text.startswith("House\n\nHeat\nPumps & valves\nNoise\nAt night\n")
    assert "kWh \tprice" in document.text
    assert place(document, "At night") == {"heading": ["Heat", "Noise"]}


def test_pptx(entry):
    slides = entry("a.pptx", pptx(["first slide", "second <slide>"]))
    assert slides.text == "first slide\nsecond <slide>"
    assert place(slides, "second") == {"page": 2}


def test_odt(entry):
    body = (
        '<text:h text:outline-level="1">Heat</text:h><text:p>A<text:s text:c="2"/>pump<text:tab/>x'
        "<office:annotation><text:p>no</text:p></office:annotation></text:p>"
        "<table:table-row><table:table-cell><text:p>c1</text:p></table:table-cell><table:table-cell>"
        "<text:p>c2</text:p></table:table-cell></table:table-row>"
    )
    document = entry("a.odt", odt(body, title="House"))
    assert "A  pump\tx" in document.text and "c1 \tc2" in document.text
    assert document.metadata["title"] == "House" and place(document, "pump") == {"heading": ["Heat"]}
    assert "no" not in document.text


def test_epub(entry):
    book = entry("a.epub", epub({"c1.xhtml": "<h1>One</h1><p>alpha", "c%202.xhtml": "<h1>Two</h1><p>beta"}))
    assert book.text.startswith("A book\n\nOne\nalpha")
    assert place(book, "beta") == {"page": 2, "heading": ["Two"]}


DRM = {"META-INF/encryption.xml": '<e URI="a.xhtml"/>'}
BOMB = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><d>&b;</d>'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.docx", b"no zip", "damaged"),
        ("a.docx", docx([("", "x")])[:200], "damaged"),
        ("a.docx", b"\xd0\xcf\x11\xe0" + bytes(600), "encrypted, or of an old Office"),
        ("a.docx", zipped({"word/document.xml": "<a><b></a>"}), "damaged"),
        ("a.docx", zipped({"x": "y"}), "expected 'word/document.xml', found none"),
        ("a.docx", zipped({"word/document.xml": BOMB}), "declares entities"),
        ("a.odt", odt("", manifest="<m><encryption-data/></m>"), "encrypted"),
        ("a.odt", odt('<text:h text:outline-level="x">h</text:h>'), "damaged"),
        (
            "a.epub",
            epub({"a.xhtml": ""}, extra={"META-INF/encryption.xml": '<e URI="a.xhtml"/>'}),
            "encrypted",
        ),
        ("a.pptx", zipped({"ppt/presentation.xml": "<a"}), "damaged"),
    ],
)
def test_hostile_packages(refusal, name, content, said):
    assert said in refusal(name, content)


def test_zip_bombs(refusal):
    long = zipped({"word/document.xml": b"<a>" + bytes(1 << 24) + b"</a>"})
    assert "a zip bomb" in refusal("a.docx", long)


def test_packages_of_too_many_members(refusal):
    many = zipped({f"{n}": "" for n in range(20_001)}, zipfile.ZIP_STORED)
    assert "at most 20,000 members" in refusal("a.odt", many)


def test_elements_may_be_as_deep_as_they_like(entry):
    body = "<a>" * 20_000 + "<w:p><w:r><w:t>deep</w:t></w:r></w:p>" + "</a>" * 20_000
    content = zipped({"word/document.xml": f"<d xmlns:w='w'>{body}</d>", "docProps/core.xml": f"<p {DC}/>"})
    assert entry("a.docx", content).text == "deep"


# PDF


def test_a_pdf(entry):
    pytest.importorskip("pypdf")
    content = pdf(["Heat pumps are qui-\net at night", "The infor-\nmation on valves"], title="House")
    document = entry("a.pdf", content)
    assert document.metadata["title"] == "House"
    assert "quiet at night" in document.text and "information on valves" in document.text
    assert place(document, "quiet") == {"page": 1} and place(document, "valves") == {"page": 2}
    assert "quiet" in entry("b.pdf.gz", gzip.compress(content)).text


def test_pdfs_that_are_not_read(refusal, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    assert "broken" in refusal("a.pdf", b"%PDF-1.4\nnothing else")
    (tmp_path / "d" / "a.pdf").unlink()
    assert "without text (1 pages)" in refusal("b.pdf", pdf([""]))
    (tmp_path / "d" / "b.pdf").unlink()
    writer = pypdf.PdfWriter(io.BytesIO(pdf(["secret"])))
    writer.encrypt("password", algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    assert "encrypted" in refusal("c.pdf", target.getvalue())


def test_a_pdf_that_never_ends_is_stopped(refusal, monkeypatch):
    pytest.importorskip("pypdf")
    monkeypatch.setattr("femtosearch.read.kinds.pdf.MOST_SECONDS", 0.0005)
    assert "not read after" in refusal("a.pdf", pdf(["x"]))


def test_ligatures_and_broken_words():
    from femtosearch.read.kinds.pdf import folded

    assert folded("\ufb01nancial of\ufb01ce work\ufb02ow \uff21\uff22") == "financial office workflow AB"
    assert folded("infor-\nmation, soft\xad\nware, co\xadop, x-\n1, Jean-\nPaul") == (
        "information, software, coop, x-\n1, Jean-Paul"
    )
    assert folded("well-\nknown", {"well-known"}) == "well-known"


def test_a_missing_extra_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("femtosearch.read.kinds.pdf.find_spec", lambda _: None)
    (tmp_path / "a.pdf").write_bytes(pdf(["x"]))
    reading = read([tmp_path])
    assert list(reading) == [] and "pip install 'femtosearch[files]'" in reading.skipped[0].reason
    with pytest.raises(ReadError, match="PDF needs pypdf"):
        list(read([tmp_path / "a.pdf"]))
    assert issubclass(MissingExtraError, ImportError)


# Parquet


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import datetime
    from decimal import Decimal

    import pyarrow.parquet as parquet

    table = pyarrow.table(
        {
            "id": [1, 2, 3],
            "text": ["one", None, "three"],
            "day": [datetime.date(2024, 1, n) for n in (1, 2, 3)],
            "tags": [["a"], [], None],
            "price": [Decimal("12.50"), None, Decimal("0.99")],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    documents = list(read([tmp_path / "a.parquet"]))
    assert [(document.id, document.text) for document in documents] == [
        ("1", "one"),
        ("2", ""),
        ("3", "three"),
    ]
    assert documents[0].metadata == {"day": "2024-01-01", "tags": ["a"], "price": 12.5}
    with pytest.raises(ReadError, match=r"expected a column 'body', found 'id'"):
        list(read([tmp_path / "a.parquet"], text_column="body"))


def test_a_broken_parquet_file(refusal):
    pytest.importorskip("pyarrow")
    assert "expected a Parquet file" in refusal("a.parquet", b"PAR1" + bytes(100))


# Code and manual pages

PYTHON = '''"""A module."""

class Cache:
    def evict(self):
        """Remove the oldest."""

    @property
    async def size(self): ...

def main():
    def inner(): ...
    return 1
'''


def test_python(entry):
    code = entry("a.py", PYTHON)
    assert code.text == PYTHON and code.metadata["language"] == "python"
    assert place(code, "oldest") == {"lines": 4, "heading": ["class Cache", "def evict"]}
    assert place(code, "async def") == {"lines": 7, "heading": ["class Cache", "def size"]}
    assert place(code, "return 1")["heading"] == ["def main", "def inner"]
    assert place(entry("b.py", "def broken(:\n  pass\n"), "pass")["heading"] == ["def broken"]


@pytest.mark.parametrize(
    ("name", "line", "heading"),
    [
        ("a.js", "export async function loadAll(x) {", "export async function loadAll"),
        ("a.ts", "export const pick = (x: number) => {", "pick"),
        ("a.java", "public class Cache extends Map {", "public class Cache"),
        ("a.c", "static int *find_item(struct list *l, int n)", "static int *find_item"),
        ("a.cpp", "void Cache::evict(int n) {", "void Cache::evict"),
        ("a.go", "func (c *Cache) Evict(n int) error {", "func (c *Cache) Evict"),
        ("a.rs", "pub fn evict<T>(n: T) {", "pub fn evict<T>"),
        ("a.rb", "  def evict!", "def evict!"),
        ("a.php", "public static function evict($n) {", "public static function evict"),
        ("a.cs", "internal sealed record Cache(int N);", "internal sealed record Cache"),
        ("a.kt", "suspend fun evict(n: Int) {", "suspend fun evict"),
        ("a.swift", "public struct Cache {", "public struct Cache"),
        ("a.sh", "evict() {", "evict"),
        ("a.lua", "local function evict(n)", "local function evict"),
        ("a.ex", "defmodule My.Cache do", "defmodule My.Cache"),
        ("a.scala", "case class Cache(n: Int)", "case class Cache"),
        ("a.pl", "sub evict {", "sub evict"),
        ("a.clj", "(defn evict [n]", "(defn evict"),
    ],
)
def test_definitions_of_other_languages(entry, name, line, heading, monkeypatch):
    monkeypatch.setattr("femtosearch.read.kinds.code_grammars.has_grammars", lambda: False)
    code = entry(name, f"first line\n\n{line}\n  return what(1);\n")
    assert place(code, "return what") == {"lines": 3, "heading": [heading]}


def test_long_code_is_cut_at_functions(entry):
    code = entry("a.go", "\n".join(f"func f{n}() {{\n{'  call();' * 50}\n}}" for n in range(8)))
    assert len(code.cuts) >= 3 and all(code.text[cut:].startswith("func f") for cut in code.cuts)


MAN = r""".\" a comment
.TH LS 1 "June 2024" "GNU"
.SH NAME
ls \- list directory contents
.SH DESCRIPTION
.PP
List \fBinformation\fR about the FILEs
.IR "the current" " directory"
.TP
\fB\-a\fR, \fB\-\-all\fR
do not ignore entries \(lqstarting\(rq with .
.SS Sub \(en section
end
"""


def test_a_manual_page(entry):
    page = entry("ls.1.gz", gzip.compress(MAN.encode()))
    assert page.metadata["title"] == "ls"
    assert "ls - list directory contents" in page.text and "\\" not in page.text
    assert "List information about the FILEs the current directory" in page.text
    assert "-a, --all do not ignore entries \u201cstarting\u201d with ." in page.text
    assert place(page, "end") == {"heading": ["DESCRIPTION", "Sub \u2013 section"]}


def test_a_manual_page_that_names_another(refusal):
    assert "only names another one (man1/ls.1)" in refusal("dir.1", ".so man1/ls.1\n")
