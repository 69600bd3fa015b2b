"""Files that say what they are in are read so, and others as text in UTF-8 or what they look like."""

import re

import pytest

from femtosearch.read import read

from .make_files import epub

STATED = {
    "meta.html": ("shift_jis", "<meta charset=shift_jis><p>\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8"),
    "equiv.htm": (
        "koi8-r",
        '<META HTTP-EQUIV=x CONTENT="text/html; charset=koi8-r">\u041f\u0440\u0438\u0432\u0435\u0442',
    ),
    "a.xhtml": (
        "iso8859-2",
        '<?xml version="1.0" encoding="ISO-8859-2"?><html>\u0105\u0107\u0119 ja\u017a\u0144',
    ),
    "b.html": ("cp1252", '<meta charset="iso-8859-1">\u201csmart\u201d caf\xe9'),
    "c.html": ("gb18030", '<meta charset="gb2312">\u9555\u57ba \u4e2d\u6587'),
    "d.html": ("iso2022_jp", '<meta charset="iso-2022-jp">\u65e5\u672c\u8a9e'),
    "a.py": ("cp1251", "# -*- coding: cp1251 -*-\nname = '\u041f\u0440\u0438\u0432\u0435\u0442'\n"),
    "b.rb": ("euc_jp", "#!/usr/bin/ruby\n# encoding: euc-jp\nputs '\u65e5\u672c\u8a9e'\n"),
    "c.pl": ("cp1250", "# vim: set fileencoding=cp1250 :\nprint 'ja\u017a\u0144'\n"),
    "a.css": ("cp1251", '@charset "windows-1251";\n/* \u041f\u0440\u0438\u0432\u0435\u0442 */\n'),
}


@pytest.mark.parametrize("name", STATED)
def test_a_file_is_in_what_it_says(tmp_path, name):
    encoding, content = STATED[name]
    (tmp_path / name).write_bytes(content.encode(encoding))
    reading = read([tmp_path])
    [document] = reading
    assert re.findall("[^ -~\n]+", content)[-1] in document.text and reading.skipped == []


@pytest.mark.parametrize("stated", ["utf-16", "utf-8", "no-such", "idna", "hex", "cp037", "unicode_escape"])
def test_what_cannot_be_so_is_not_believed(entry, stated):
    page = f"<meta charset={stated}><p>caf\xe9 cr\xe8me"
    assert entry("a.html", page).text == "caf\xe9 cr\xe8me"
    assert entry("b.html", page.encode("cp1252")).text == "caf\xe9 cr\xe8me"


def test_utf8_that_states_another_encoding_is_utf8(entry):
    assert entry("a.html", "<meta charset=iso-8859-1><p>\u65e5\u672c").text == "\u65e5\u672c"
    assert entry("b.html", b"<meta charset=koi8-r>caf\xe9", encoding="cp1252").text == "caf\xe9"


def test_pages_of_a_book_are_in_what_they_say(entry):
    page = '<?xml version="1.0" encoding="windows-1251"?><html><body><p>' + "x " * 4000
    content = epub({"a.xhtml": (page + "\u041f\u0440\u0438\u0432\u0435\u0442").encode("cp1251")})
    assert "\u041f\u0440\u0438\u0432\u0435\u0442" in entry("a.epub", content).text
