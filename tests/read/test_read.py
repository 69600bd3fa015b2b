"""Files -> documents: every kind, and everything that can be wrong with them."""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from femtosearch.errors import ReadError
from femtosearch.read import STDIN_KINDS, read
from femtosearch.types import Document


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def only(path, **options):
    """The one document of a file."""
    [document] = read([path], **options)
    return document


def complaint(*paths, **options):
    """What the error says."""
    with pytest.raises(ReadError) as caught:
        list(read(paths, **options))
    return str(caught.value)


# Text and Markdown


def test_a_text_file_is_one_document(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "notes" / "a.txt", "first\nsecond\n")
    document = Document("notes/a.txt", "first\nsecond\n", {"path": "notes/a.txt"})
    assert list(read(["notes/a.txt"])) == [document]
    assert [d.id for d in read(["./notes//a.txt"])] == ["notes/a.txt"]


def test_in_a_folder_the_id_is_the_path_from_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "notes" / "deep" / "a.txt", "a")
    for spelling in ("notes", "notes/", "./notes", tmp_path / "notes", "notes/../notes"):
        assert [d.id for d in read([spelling])] == ["deep/a.txt"]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# The title\n\ntext", "The title"),
        ("text first\n\n## Then a heading ##\n", "Then a heading"),
        ("```sh\n# a comment\n```\n# Real\n", "Real"),
        ("~~~\n# a comment\n~~~\n", None),
        ("#hashtag\n\n#\n", None),
        ("", None),
        ("\r\n# Windows\r\n", "Windows"),
    ],
)
def test_the_first_heading_of_markdown_is_its_title(tmp_path, text, title):
    document = only(write(tmp_path / "a.md", text))
    assert document.metadata.get("title") == title
    assert document.text == text.replace("\r\n", "\n")


def test_empty_files(tmp_path):
    assert only(write(tmp_path / "a.txt", "")).text == ""
    assert only(write(tmp_path / "b.txt", " \n\t")).text == " \n\t"
    for name in ("a.jsonl", "a.csv", "a.tsv", "b.txt.gz"):
        path = tmp_path / name
        write(path, gzip.compress(b"") if name.endswith("gz") else "")
        assert [d.text for d in read([path])] == ([""] if name.endswith("gz") else [])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("naïve 日本語 🎉", "naïve 日本語 🎉"),
        (b"\xef\xbb\xbfmarked", "marked"),
        ("wide ✓".encode("utf-16"), "wide ✓"),
        (b"nul\0inside", "nul\0inside"),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
    ],
)
def test_encodings(tmp_path, content, text):
    reading = read([write(tmp_path / "a.txt", content)])
    assert [d.text for d in reading] == [text]
    assert reading.skipped == []


def test_bytes_that_are_not_utf8_are_replaced_and_said(tmp_path):
    path = write(tmp_path / "a.txt", b"caf\xe9 \xff\xfe ok")
    reading = read([path])
    assert [d.text for d in reading] == ["caf\ufffd \ufffd\ufffd ok"]
    [skipped] = reading.skipped
    assert skipped.where == str(path)
    assert "3 bytes that are not UTF-8" in skipped.reason
    assert "expected text in UTF-8, found 3 bytes" in complaint(path, strict=True)


def test_bad_bytes_in_json_lines_name_the_line(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text": "good"}\n{"text": "b\xe4d"}\n')
    reading = read([path])
    assert [d.text for d in reading] == ["good", "b\ufffdd"]
    assert [s.where for s in reading.skipped] == [f"{path}:2"]


def test_an_unknown_extension_is_text_if_it_is_named_and_is_text(tmp_path):
    assert only(write(tmp_path / "README", "read me")).text == "read me"
    assert "expected text in UTF-8" in complaint(write(tmp_path / "a.bin", b"\x89PNG\xff"))


def test_a_line_of_a_megabyte(tmp_path):
    line = "word " * 200_000
    assert only(write(tmp_path / "a.txt", line)).text == line
    assert only(write(tmp_path / "a.jsonl", json.dumps({"text": line}))).text == line
    assert only(write(tmp_path / "a.csv", f"text\n{line}\n")).text == line


# JSON lines


def test_beir(tmp_path):
    lines = [
        {"_id": "31", "title": "A title", "text": "and a text.", "metadata": {"url": "x"}},
        {"_id": "32", "title": "", "text": "no title"},
        {"_id": "33", "title": "only a title", "text": ""},
        {"_id": "34", "text": ""},
    ]
    path = write(tmp_path / "corpus.jsonl", "\n".join(map(json.dumps, lines)))
    assert list(read([path])) == [
        Document("31", "A title and a text.", {"title": "A title", "url": "x"}),
        Document("32", "no title", {"title": ""}),
        Document("33", "only a title", {"title": "only a title"}),
        Document("34", "", {}),
    ]


def test_other_keys_are_metadata(tmp_path):
    path = write(
        tmp_path / "a.jsonl", '{"id": 7, "_id": "x", "text": "t", "year": 2020, "tags": ["a", null]}\n'
    )
    assert only(path) == Document("7", "t", {"_id": "x", "year": 2020, "tags": ["a", None]})


def test_a_line_without_an_id_is_called_by_its_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "d" / "a.ndjson", '{"text": "a"}\r\n\r\n  \n{"text": "b"}')
    assert [d.id for d in read(["d"])] == ["a.ndjson:1", "a.ndjson:4"]
    assert [d.id for d in read(["d/a.ndjson"])] == ["d/a.ndjson:1", "d/a.ndjson:4"]


def test_columns_of_another_name(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": 1, "body": "b", "key": "k"}\n')
    assert only(path, text_column="body", id_column="key") == Document("k", "b", {"text": 1})
    assert "expected an id under 'nr', found 'text', 'body', 'key'" in complaint(path, id_column="nr")


def test_line_separators_inside_a_string_do_not_end_the_line(tmp_path):
    assert only(write(tmp_path / "a.jsonl", '{"text": "a\u2028b\x85c\\n"}\n')).text == "a\u2028b\x85c\n"


def test_half_an_emoji_becomes_the_replacement_character(tmp_path):
    path = write(tmp_path / "a.jsonl", r'{"text": "cut \ud83d", "whole": "\ud83c\udf89", "half": ["\udf89"]}')
    assert only(path).text == "cut \ufffd"
    assert only(path).metadata == {"whole": "🎉", "half": ["\ufffd"]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "expected a JSON object on one line"),
        ("text", "expected a JSON object on one line"),
        ('{"text": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "expected a JSON object on one line"),
        ("[1]", "expected a JSON object, found an array"),
        ("null", "expected a JSON object, found null"),
        ('"text"', "expected a JSON object, found a string"),
        ('{"body": "t", "id": 1}', "expected a text under 'text', found 'body'"),
        ("{}", "expected a text under 'text', found none"),
        ('{"text": 3}', "expected 'text' to be a text, found a number"),
        ('{"text": null}', "expected 'text' to be a text, found null"),
        ('{"text": ["t"]}', "expected 'text' to be a text, found an array"),
        ('{"text": "t", "id": 1.5}', "expected an id that is a string or a whole number, found a number"),
        ('{"text": "t", "id": true}', "found true or false"),
        ('{"text": "t", "id": null}', "found null"),
        ('{"text": "t", "id": ""}', "found an empty string"),
        ('{"text": "t", "id": {}}', "found an object"),
    ],
)
def test_a_wrong_line(tmp_path, line, said):
    path = write(tmp_path / "d" / "a.jsonl", f'{{"text": "before"}}\n{line}\n{{"text": "after"}}\n')
    assert f"{path}:2: " in complaint(path)
    assert said in complaint(path)
    reading = read([tmp_path / "d"])
    assert [d.text for d in reading] == ["before", "after"]
    assert [s.where for s in reading.skipped] == [f"{path}:2"]
    assert said in complaint(tmp_path / "d", strict=True)


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(tmp_path, delimiter):
    rows = [["id", "text", "note, or; so"], ["1", "some; text, here", ""], ["2", 'said "x"\nand more', "n"]]
    quoted = "\r\n".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    path = write(tmp_path / "a.csv", "\ufeff" + quoted)
    assert list(read([path])) == [
        Document("1", "some; text, here", {}),
        Document("2", 'said "x"\nand more', {"note, or; so": "n"}),
    ]


def test_tsv_is_split_at_tabs_alone(tmp_path):
    path = write(tmp_path / "a.tsv", "text\ta,b,c,d\nx\ty,z\n")
    assert only(path).metadata == {"a,b,c,d": "y,z"}


def test_rows_of_csv(tmp_path):
    path = write(tmp_path / "a.csv", "id,text,title,\n\n1,t,T,dropped\n,u\n3,,,\n,,,\n")
    assert list(read([path])) == [
        Document("1", "T t", {"title": "T"}),
        Document(f"{path}:4", "u", {}),
        Document("3", "", {}),
    ]
    assert only(write(tmp_path / "b.csv", "id,body\n1,b\n"), text_column="body").text == "b"
    assert only(write(tmp_path / "c.csv", "text\nnul\0inside\n")).text == "nulinside"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("id,body\n1,b\n", 1, "expected a column 'text' in the header row, found 'id', 'body'"),
        ("text,text\nb,c\n", 1, "expected each column once"),
        ("id,text\n1,one, two\n", 2, "expected 2 cells as in the header row, found 3"),
        ('id,text\n1,"never closed\n', 2, "expected a row of CSV"),
        ('id,"text\n', 1, "expected a"),
    ],
)
def test_wrong_csv(tmp_path, content, line, said):
    path = write(tmp_path / "a.csv", content)
    assert complaint(path).startswith(f"{path}:{line}: ")
    assert said in complaint(path)
    reading = read([tmp_path])
    assert list(reading) == []
    assert [s.where for s in reading.skipped] == [f"{path}:{line}"]


def test_a_broken_row_does_not_lose_the_next(tmp_path):
    write(tmp_path / "a.csv", "id,text\n1,one\n2,two,too\n3,three\n")
    assert [d.id for d in read([tmp_path])] == ["1", "3"]


# Folders


def test_a_folder_is_read_sorted_and_all_the_way_down(tmp_path):
    for name in ("b.txt", "a.md", "sub/z.markdown", "sub/.hidden.txt", ".git/x.txt", "photo.png", "c.TXT"):
        write(tmp_path / name, "x")
    write(tmp_path / "sub" / "d.jsonl", '{"id": "d", "text": "x"}')
    write(tmp_path / "e.txt.gz", gzip.compress(b"zipped"))
    reading = read([tmp_path])
    assert [d.id for d in reading] == ["a.md", "b.txt", "c.TXT", "e.txt.gz", "d", "sub/z.markdown"]
    assert reading.unknown == 1
    assert reading.skipped == []


def test_links_are_followed_but_not_round(tmp_path):
    write(tmp_path / "d" / "a.txt", "x")
    write(tmp_path / "elsewhere" / "b.txt", "y")
    (tmp_path / "d" / "loop").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "d" / "other-again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "d" / "gone.txt").symlink_to(tmp_path / "nowhere")
    reading = read([tmp_path / "d"])
    assert [d.id for d in reading] == ["a.txt", "other/b.txt"]
    assert [s.where for s in reading.skipped] == [str(tmp_path / "d" / "gone.txt")]
    assert "cannot be read" in complaint(tmp_path / "d", strict=True)


@pytest.fixture
def open_folder():
    """A folder that every user may enter; of tmp_path only its owner may."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def an_ordinary_user():
    """Root may read everything, so root becomes nobody for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_may_not_be_read_is_skipped(open_folder):
    write(open_folder / "a.txt", "x").chmod(0)
    write(open_folder / "locked" / "b.txt", "x")
    (open_folder / "locked").chmod(0)
    with an_ordinary_user():
        reading = read([open_folder])
        assert list(reading) == []
    assert len(reading.skipped) == 2
    (open_folder / "locked").chmod(0o755)


def test_what_is_no_file_is_left_out(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    reading = read([tmp_path])
    assert list(reading) == []
    assert reading.unknown == 1


def test_a_file_name_that_is_not_utf8(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    try:
        with open(path, "w") as file:
            file.write("x")
    except OSError:
        return  # a file system that wants names in UTF-8 cannot hold such a file
    assert [d.id for d in read([tmp_path])] == ["caf\ufffd.txt"]


def test_two_files_of_one_name_are_both_kept(tmp_path):
    write(tmp_path / "a" / "README.md", "a")
    write(tmp_path / "b" / "README.md", "b")
    reading = read([tmp_path / "a", tmp_path / "b"])
    assert [d.id for d in reading] == ["README.md", f"{tmp_path}/b/README.md"]
    [skipped] = reading.skipped
    assert skipped.where == f"{tmp_path}/b/README.md" and f"{tmp_path}/a/README.md" in skipped.reason
    assert "the id 'README.md' is that of" in complaint(tmp_path / "a", tmp_path / "b", strict=True)
    assert len(list(read([tmp_path]))) == 2
    assert len(list(read([tmp_path / "a", tmp_path / "a"]))) == 1  # the same one twice is one


def test_a_path_that_leads_nowhere(tmp_path):
    assert "expected a file or a folder, found none" in complaint(tmp_path / "missing")
    assert "expected a file or a folder, found none" in complaint(
        write(tmp_path / "a.txt", "x"), tmp_path / "missing"
    )


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(b"some text " * 1000)
    for content in (whole[: len(whole) // 2], b"no gzip at all", whole[:20] + b"\xff" * 20):
        path = write(tmp_path / "a.txt.gz", content)
        assert "cannot be read" in complaint(path)
        assert list(read([tmp_path])) == []
    path = write(tmp_path / "a.jsonl.gz", gzip.compress(b'{"id": "1", "text": "t"}\n'))
    assert [d.id for d in read([path])] == ["1"]


# Standard input


def test_standard_input_is_a_document_a_line(stdin):
    stdin(b"one\n\n \r\ntwo\r\nb\xffd")
    reading = read(["-"])
    documents = list(reading)
    assert [d.text for d in documents] == ["one", "two", "b\ufffdd"]
    assert len({d.id for d in documents}) == 3
    assert reading.skipped[0].where == "-:5"
    stdin(b"two\n")
    assert [d.id for d in read(["-"])] == [documents[1].id]


@pytest.mark.parametrize(
    ("kind", "content", "texts"),
    [
        ("text", b"one\ntwo\n", ["one\ntwo\n"]),
        ("jsonl", b'{"text": "one"}\n{"text": "two", "id": 2}\n', ["one", "two"]),
        ("csv", b"id;text\n1;one\n", ["one"]),
        ("tsv", b"id\ttext\n1\tone\n", ["one"]),
        ("lines", b"", []),
    ],
)
def test_standard_input_of_every_kind(stdin, kind, content, texts):
    stream = stdin(content)
    assert kind in STDIN_KINDS
    assert [d.text for d in read(["-"], stdin_kind=kind)] == texts
    assert not stream.buffer.closed
    assert "found 'pdf'" in complaint("-", stdin_kind="pdf")


# Size


def test_fraction(tmp_path, stdin):
    for name in ("a.txt", "b.txt"):
        write(tmp_path / name, "x" * 1000)
    reading = read([tmp_path])
    assert reading.fraction == 0.0
    fractions = [reading.fraction for _ in reading]
    assert fractions == [0.5, 1.0]
    assert reading.fraction == 1.0
    stdin(b"x\n")
    reading = read([tmp_path, "-"])
    assert [reading.fraction for _ in reading] == [None, None, None]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    line = json.dumps({"text": "word " * 2000}) + "\n"
    with open(tmp_path / "a.jsonl", "w") as file:
        for _ in range(10_000):  # 100 MB
            file.write(line)
    script = (
        "import resource, sys; from femtosearch.read import read; "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "n = sum(1 for _ in read([sys.argv[1]])); "
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.jsonl"], capture_output=True, text=True, check=True
    )
    count, grown = map(int, done.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert count == 10_000
    assert grown * unit < 20_000_000


def test_lines_of_json_end_at_line_feeds_alone(tmp_path):
    path = write(tmp_path / "a.json", '[\n{"text": "one\u2028two\x85three"},\n{"text": "four"}\n]')
    assert [document.id for document in read([path])] == [f"{path}:2", f"{path}:3"]
