"""What people's files really are: encodings, binaries, tables' dialects, JSON's shapes, front matter."""

import os
import stat

import pytest

from femtosearch.errors import ReadError
from femtosearch.read import Options, read, walk
from femtosearch.read.delimited import csv_records
from femtosearch.read.encodings import NotTextError, check_encoding, encoding_of
from femtosearch.read.kinds.front_matter import front_matter
from femtosearch.read.kinds.headings import blocks

GERMAN = "Der Käufer grüßt die Straße und zahlt 20 € und geht “sofort”.\n"
JAPANESE = "請求書の金額を確認してください"
KOREAN = "오늘날씨가좋다"
CHINESE = "这是一个测试文件。\r\n第二行, 有 ASCII\r\n"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def folder_reading(tmp_path, **files):
    for name, content in files.items():
        write(tmp_path / "d" / name.replace("__", "."), content)
    reading = read([tmp_path / "d"])
    return {document.id: document for document in reading}, reading.skipped


# Encodings


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (GERMAN.encode(), "utf-8"),
        (GERMAN.encode("cp1252"), "cp1252"),
        (b"caf\xe9", "cp1252"),
        (GERMAN.encode("utf-16"), "utf-16"),
        (GERMAN.encode("utf-32"), "utf-32"),
        (GERMAN.encode("utf-16-le"), "utf-16-le"),
        (GERMAN.encode("utf-16-be"), "utf-16-be"),
        (GERMAN.encode("utf-32-le"), "utf-32-le"),
        (GERMAN.encode("utf-32-be"), "utf-32-be"),
        (CHINESE.encode("utf-16-le"), "utf-16-le"),
        (CHINESE.encode("utf-16-be"), "utf-16-be"),
        (JAPANESE.encode("utf-16-le"), "utf-16-le"),
        ((KOREAN * 40).encode("utf-16-le"), "utf-16-le"),
        (b"\xef\xbb\xbfmarked", "utf-8-sig"),
        (b"nul\0inside", "utf-8"),
        (b"caf\xe9 \xff\xfe ok", "utf-8"),
        (("naïve " * 20).encode() + b"\xe9", "utf-8"),
        (b"\x1b[1mbold\x1b[0m " * 20, "utf-8"),
        (b"", "utf-8"),
    ],
)
def test_the_encoding_of_a_text(content, name):
    encoding = encoding_of(content, is_whole=True)
    assert encoding.name == name
    assert bool(encoding.guess) == (name == "cp1252" or name.endswith(("-le", "-be")))
    if name not in ("utf-8", "utf-8-sig"):
        assert content.decode(name) in (GERMAN, CHINESE, JAPANESE, KOREAN * 40, "café")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (KOREAN, "euc-kr"),
        (JAPANESE, "shift-jis"),
        (JAPANESE, "euc-jp"),
        ("量子计算机的发展非常迅速昨天下雨了", "gbk"),
        ("量子計算機的發展非常迅速昨天下雨了", "big5"),
        ("Привет, как дела? Это текст на русском", "koi8-r"),
        ("Привет, как дела? Это текст на русском", "cp1251"),
        ("Καλημέρα, τι κάνετε σήμερα το πρωί", "iso8859-7"),
        ("สวัสดีครับ วันนี้อากาศดี", "cp874"),
        ("Käufer zahlen für Brötchen", "mac-roman"),
        ("Žluťoučký kůň úpěl ďábelské ódy", "cp1250"),
        (GERMAN, "cp1252"),
    ],
)
def test_one_byte_and_two_byte_encodings_are_not_taken_for_utf_16(text, name):
    for content in (text.encode(name), text.encode(name) + b"x", (text * 50).encode(name)):
        try:
            assert "utf-16" not in encoding_of(content, is_whole=True).name
        except NotTextError as error:
            assert "--encoding" in str(error)


@pytest.mark.parametrize(
    "name", ["a.txt", "a.csv", "a.json", "a.py", "a.pdf", "a.docx", "a.epub", "a.parquet"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_pointer_of_git_lfs_in_the_place_of_any_file(tmp_path, name, end):
    if name in ("a.pdf", "a.parquet"):
        pytest.importorskip({"a.pdf": "pypdf", "a.parquet": "pyarrow"}[name])
    pointer = ["version https://git-lfs.github.com/spec/v1", "oid sha256:4d7a", "size 12345", ""]
    (tmp_path / name).write_bytes(end.join(pointer).encode())
    reading = read([tmp_path])
    assert list(reading) == [] and "git lfs pull" in reading.skipped[0].reason


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (bytes(range(256)) * 4, "control characters"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"PK\x03\x04rest", "a zip file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ("Привет, как дела? Это текст на русском".encode("cp1251"), "say with --encoding"),
        ("これはテストです。日本語の文章".encode("shift-jis"), "say with --encoding"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, content, kind):
    with pytest.raises(NotTextError, match=kind):
        encoding_of(content, is_whole=True)
    documents, [skipped] = folder_reading(tmp_path, a__txt=content)
    assert documents == {} and kind in skipped.reason
    with pytest.raises(ReadError, match=kind):
        list(read([tmp_path / "d" / "a.txt"]))


def test_an_encoding_that_is_stated(tmp_path):
    path = write(tmp_path / "a.txt", "Привет, мир".encode("cp1251"))
    assert [document.text for document in read([path], encoding="cp1251")] == ["Привет, мир"]
    marked = write(tmp_path / "b.txt", "wide".encode("utf-16"))
    assert [document.text for document in read([marked], encoding="cp1251")] == ["wide"]
    for name in ("no-such", "base64", "\0"):
        with pytest.raises(ReadError, match="expected the name of one, such as cp1252"):
            read([path], encoding=name)
    assert check_encoding("latin-1") == "iso8859-1"


def test_a_guess_is_told_and_kept(tmp_path):
    reading = read([write(tmp_path / "l1.log", GERMAN.encode("cp1252"))])
    assert [document.text for document in reading] == [GERMAN]
    [told] = reading.skipped
    assert told.kept and "taken for cp1252" in told.reason
    documents, [told] = folder_reading(tmp_path, a__csv="id,text\n1,Käufer\n".encode("cp1252"))
    assert documents["1"].text == "Käufer" and told.kept


# Tables


def records(text, kind="csv"):
    return list(csv_records(text.splitlines(keepends=True), kind, "text"))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("sep=;\nid;text\n1;one\n", "one"),
        ('"sep=|"\nid|text\n1|one\n', "one"),
        ("\n\n# a comment\nid,text\n1,one\n", "one"),
        ("id|text\n1|one\n", "one"),
        ('id, text\n1, "a, b"\n', "a, b"),
        ("id,text\n1,one,,\n", "one"),
        ('id,text\n1,"he said \\"hi\\", ok"\n', 'he said "hi", ok'),
        ('id,text\n1,"C:\\dir\\"\n', "C:\\dir\\"),
        ('id,text\n1,"two\nlines"\n', "two\nlines"),
        ('id,text\n1,"doubled ""quotes"""\n', 'doubled "quotes"'),
        ('id,text\n1,"blanks, behind"  \n', "blanks, behind"),
        ('id,text\n1,"lines,\nblanks behind" \t \n', "lines,\nblanks behind"),
        ('id,text\n1,"a "" quote, \nand ""more"" "  \n', 'a " quote, \nand "more" '),
        ('id,text,more\n1,"a ""b"" , c" ,\r\n', 'a "b" , c'),
    ],
)
def test_dialects(text, first):
    [(_, record)] = records(text)
    assert record == {"id": "1", "text": first}


def test_an_unclosed_quote_costs_its_line(tmp_path):
    rows = [f"{n},row number {n}" for n in range(1, 201)]
    rows[4] = '5,"never closed quote'
    rows[99] = '100,"nor this'
    rows[149] = '150,"a good, quoted cell"'
    documents, skipped = folder_reading(tmp_path, a__csv="\n".join(["id,text", *rows]))
    assert len(documents) == 198 and documents["150"].text == "a good, quoted cell"
    path = tmp_path / "d" / "a.csv"
    assert [fault.where for fault in skipped] == [f"{path}:6", f"{path}:101"]
    assert "a quote that never closes" in skipped[1].reason


def test_a_quote_in_tsv_is_a_letter():
    assert records('id\ttext\n1\t"never closed\n2\tgood\n', "tsv") == [
        (2, {"id": "1", "text": '"never closed'}),
        (3, {"id": "2", "text": "good"}),
    ]


def test_a_stray_quote_that_another_row_closes():
    found = records('id,text\n1,"stray\n2,"quoted, cell"\n3,three\n')
    assert isinstance(found[0][1], ValueError) and found[0][0] == 2
    assert found[1:] == [(3, {"id": "2", "text": "quoted, cell"}), (4, {"id": "3", "text": "three"})]


def test_many_unclosed_quotes_take_no_square_of_time():
    rows = ['x,"open'] * 5_000
    assert (
        sum(isinstance(record, ValueError) for _, record in records("\n".join(["id,text", *rows]))) == 5_000
    )


def test_a_named_table_with_a_bad_row(tmp_path):
    path = write(tmp_path / "a.csv", "id,text\n1,one\n2,two,too\n3,three\n")
    with pytest.raises(ReadError, match=r"a.csv:3: expected 2 cells"):
        list(read([path]))
    from femtosearch.read.documents import FileReader

    reader = FileReader(Options(keep_going=True))
    assert [named.ids[0] for named in reader.read(walk([path]).files[0])] == ["1", "3"]
    assert [fault.where for fault in reader.skipped] == [f"{path}:3"]


# JSON


@pytest.mark.parametrize(
    "text",
    [
        '[\n  {\n    "id": "a",\n    "text": "x"\n  },\n  {"id": "b", "text": "y"}\n]\n',
        '[{"id": "a", "text": "x"}, {"id": "b", "text": "y"}]',
        '{\n  "id": "a",\n  "text": "x"\n}\n{\n  "id": "b", "text": "y"\n}\n',
        '{"id": "a", "text": "x"}\n\n{"id": "b", "text": "y"}\n',
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_json_of_every_shape(tmp_path, name, text):
    write(tmp_path / name, text)
    assert {document.id: document.text for document in read([tmp_path])} == {"a": "x", "b": "y"}


def test_a_broken_member_of_an_array(tmp_path):
    text = '[\n{"id": "a", "text": "x"},\n{"id": "b", "text": oops},\n{"id": "c", "text": "z"}\n]\n'
    documents, [skipped] = folder_reading(tmp_path, a__jsonl=text)
    assert set(documents) == {"a", "c"} and skipped.where.endswith("a.jsonl:3")


def test_json_that_is_no_records(tmp_path):
    documents, [skipped] = folder_reading(tmp_path, package__json='{"name": "x", "version": 1}')
    assert documents == {} and "no records with a text under 'text'" in skipped.reason
    [document] = read([tmp_path / "d" / "package.json"])
    assert document.text.startswith('{"name"')


# Markdown


def test_front_matter_is_metadata(tmp_path):
    text = (
        "---\n# exported by notes app\ntitle: Replacing the kitchen tap\ntags: [house, 'water']\n"
        "year: 2021\ndraft: false\nowner:\n  - Ann\n  - Bob\n---\n\nTurn the water off.\n"
    )
    [document] = read([write(tmp_path / "a.md", text)])
    assert document.metadata["title"] == "Replacing the kitchen tap"
    assert document.metadata["tags"] == ["house", "water"] and document.metadata["owner"] == ["Ann", "Bob"]
    assert document.metadata["year"] == 2021 and document.metadata["draft"] is False
    assert document.text == "Replacing the kitchen tap\n\n\nTurn the water off.\n"


@pytest.mark.parametrize(
    ("text", "matter"),
    [
        ("+++\ntitle = 'T'\ndate = 2024-01-02\n+++\nx", {"title": "T", "date": "2024-01-02"}),
        ("---\ntitle: 'it''s'\n...\nx", {"title": "it's"}),
        ("---\nnot a key\n---\nx", {}),
        ("---\ntitle: never closed\n", {}),
        ("x\n---\ntitle: T\n---\n", {}),
        ("---\nabstract: |\n  two\n  lines\nid: 007\n---\n", {"abstract": "two\nlines", "id": "007"}),
    ],
)
def test_kinds_of_front_matter(text, matter):
    assert front_matter(text)[0] == matter


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# One #\n\n## Two\n", ["One", "Two"]),
        ("Title\n=====\n\nSub\n---\n", ["Title", "Sub"]),
        ("two\nlines\n===\n", ["two lines"]),
        ("```\n# code\n```\n# real\n", ["real"]),
        ("````\n```\n# code\n````\n# real\n", ["real"]),
        ("~~~ sh\n# code\n~~~\n", []),
        ("    # indented\n\n# real\n", ["real"]),
        ("<!--\n# comment\n-->\n# real\n", ["real"]),
        ("<pre>\n# raw\n</pre>\n# real\n", ["real"]),
        ("#hashtag\n\n# \n", []),
        ("- item\n---\n", []),
        ("> quote\n===\n", []),
        ("text\n\n---\n", []),
        ("####### seven\n", []),
    ],
)
def test_headings_as_commonmark_has_them(text, headings):
    assert [heading.text for heading in blocks(text)] == headings


# Folders


def test_a_folder_1200_levels_deep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("deep")
    os.chdir("deep")
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    with open("x.txt", "w") as file:
        file.write("down there")
    os.chdir(tmp_path)
    texts = [document.text for document in read(["deep"])]
    for _ in range(1200):  # what removes folders by recursion could not take it away
        os.rename("deep/d", "lower")
        os.rmdir("deep")
        os.rename("lower", "deep")
    assert texts == ["down there"]


def test_special_files_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    walked = walk([tmp_path])
    assert walked.left_out[0].reason == "a pipe (FIFO), not a file" and not walked.files
    if stat.S_ISCHR(os.stat("/dev/zero").st_mode):
        with pytest.raises(ReadError, match="expected a file or a folder, found a device"):
            walk(["/dev/zero"])


def test_a_pipe_that_is_named_is_read(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    try:
        assert [document.text for document in read([f"/dev/fd/{reading}"])] == ["through a pipe"]
    finally:
        os.close(reading)


def test_what_is_not_read_is_counted(tmp_path):
    for name in ("a.xyz", "b.xyz", "c", "d.txt"):
        write(tmp_path / name, "x")
    walked = walk([tmp_path])
    assert walked.kinds == {".xyz": 2, "no extension": 1} and walked.unknown == 3
    assert len(walked.left_out) == 3


def test_a_hidden_folder_that_is_named_is_read(tmp_path):
    write(tmp_path / ".hid" / "a.txt", "x")
    assert [document.id for document in read([tmp_path / ".hid"])] == ["a.txt"]
