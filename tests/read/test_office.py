"""Documents of office programs: boxes, notes and signs in a paragraph lose and double none of its words."""

from .make_files import DC, W, epub, odt, zipped

MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
TITLES = {"META-INF/manifest.xml": "<m/>", "content.xml": "<d/>"}


def run(inner):
    return f"<w:r>{inner}</w:r>"


def written(text):
    return run(f"<w:t xml:space='preserve'>{text}</w:t>")


def word(body):
    return zipped({"word/document.xml": f"<w:document {W} {MC}><w:body>{body}</w:body></w:document>"})


def test_a_box_in_a_paragraph(entry):
    box = f"<w:txbxContent><w:p>{written('in the box')}</w:p></w:txbxContent>"
    drawn = run(
        f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    )
    heading = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    body = (
        f"<w:p>{heading}{written('before ')}{drawn}{written('and after')}</w:p><w:p>{written('next')}</w:p>"
    )
    document = entry("a.docx", word(body))
    assert document.text == "in the box\nbefore and after\nnext"
    assert document.metadata["title"] == "before and after"


def test_a_hyphen_that_breaks_no_line(entry):
    body = f"<w:p>{written('well')}{run('<w:noBreakHyphen/>')}{written('known')}</w:p>"
    assert entry("a.docx", word(body)).text == "well-known"


def test_a_footnote_is_no_part_of_a_word(entry):
    note = "<text:note><text:note-citation>1</text:note-citation>"
    note += "<text:note-body><text:p>below</text:p></text:note-body></text:note>"
    assert entry("a.odt", odt(f"<text:p>word{note} goes on</text:p>")).text == "word (below) goes on"


def test_all_authors_are_named_once(entry):
    stated = f"<m {DC}><dc:creator>Ann</dc:creator><dc:creator>Bob</dc:creator>"
    stated += "<i:initial-creator xmlns:i='i'>Ann</i:initial-creator></m>"
    assert entry("a.odt", zipped({**TITLES, "meta.xml": stated})).metadata["author"] == "Ann, Bob"
    book = epub({"a.xhtml": "<p>x"}, title="A</dc:title><dc:creator>Ann</dc:creator><dc:title>B")
    assert entry("a.epub", book).metadata["title"] == "A, B"
