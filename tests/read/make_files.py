"""Small files of office programs, books and PDFs, as tests need them: valid, and made in a moment."""

from __future__ import annotations

import io
import zipfile
from xml.sax.saxutils import escape

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "text", "table", "draw", "meta")
)


def zipped(members: dict[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def relations(targets: dict[str, str]) -> str:
    links = "".join(
        f'<Relationship Id="{name}" Type="t" Target="{target}"/>' for name, target in targets.items()
    )
    return f"<Relationships>{links}</Relationships>"


def docx(
    paragraphs: list[tuple[str, str]], *, title: str = "", table: list[list[str]] | None = None
) -> bytes:
    """A DOCX of (style, text); styles of headings have other ids than names, as in a German Word."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{escape(text)}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    rows = "".join(
        "<w:tr>"
        + "".join(f"<w:tc><w:p><w:r><w:t>{cell}</w:t></w:r></w:p></w:tc>" for cell in row)
        + "</w:tr>"
        for row in table or []
    )
    styles = "".join(
        f'<w:style w:styleId="berschrift{n}"><w:name w:val="heading {n}"/></w:style>' for n in (1, 2)
    )
    return zipped(
        {
            "_rels/.rels": relations({"r1": "word/document.xml"}),
            "word/document.xml": f"<w:document {W}><w:body>{body}<w:tbl>{rows}</w:tbl></w:body></w:document>",
            "word/styles.xml": f"<w:styles {W}>{styles}</w:styles>",
            "docProps/core.xml": f"<p {DC}><dc:title>{title}</dc:title></p>",
        }
    )


def pptx(slides: list[str]) -> bytes:
    """A PPTX, whose slides have names in another order than they are shown in."""
    names = [f"slides/slide{len(slides) - n}.xml" for n in range(len(slides))]
    listed = "".join(f'<p:sldId id="{256 + n}" r:id="rId{n}"/>' for n in range(len(slides)))
    shown = f"<p:presentation {P} {R}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>"
    members: dict[str, str | bytes] = {
        "ppt/presentation.xml": shown,
        "ppt/_rels/presentation.xml.rels": relations({f"rId{n}": name for n, name in enumerate(names)}),
    }
    for name, text in zip(names, slides, strict=True):
        members[f"ppt/{name}"] = f"<p:sld {P} {A}><a:p><a:r><a:t>{escape(text)}</a:t></a:r></a:p></p:sld>"
    return zipped(members)


def odt(body: str, *, title: str = "", manifest: str = "<m/>") -> bytes:
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": f"<office:document-content {ODF}>{body}</office:document-content>",
            "meta.xml": f"<m {DC}><dc:title>{title}</dc:title></m>",
            "META-INF/manifest.xml": manifest,
        }
    )


def epub(
    pages: dict[str, str | bytes], *, title: str = "A book", extra: dict[str, str] | None = None
) -> bytes:
    items = "".join(f'<item id="{n}" href="{name}"/>' for n, name in enumerate(pages))
    spine = "".join(f'<itemref idref="{n}"/>' for n in range(len(pages)))
    parts = f"<manifest>{items}</manifest><spine>{spine}</spine>"
    package = f"<package {DC}><dc:title>{title}</dc:title>{parts}</package>"
    return zipped(
        {
            "META-INF/container.xml": '<c><rootfiles><rootfile full-path="OEBPS/b.opf"/></rootfiles></c>',
            "OEBPS/b.opf": package,
            **{f"OEBPS/{name.replace('%20', ' ')}": page for name, page in pages.items()},
            **(extra or {}),
        }
    )


def pdf(pages: list[str], *, title: str = "") -> bytes:
    """A PDF of pages of lines, each of Latin-1 characters."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    for n, page in enumerate(pages):
        shown = ") Tj T* (".join(
            line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in page.split("\n")
        )
        stream = f"BT /F1 12 Tf 14 TL 50 750 Td ({shown}) Tj ET".encode("cp1252")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    objects.append(f"<< /Title ({title}) >>".encode())
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    trailer = b"<< /Size %d /Root 1 0 R /Info %d 0 R >>" % (len(objects) + 1, len(objects))
    return out + b"trailer\n%s\nstartxref\n%d\n%%%%EOF\n" % (trailer, start)


def place(entry, words):
    """What is known of the place where words are."""
    at = entry.text.index(words)
    return [facts for offset, facts in entry.marks if offset <= at][-1]
