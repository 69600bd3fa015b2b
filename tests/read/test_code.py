"""Source code cut by grammars: the functions and classes of every language, and hostile files."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tree_sitter_language_pack")

from femtosearch import Index
from femtosearch.read import Options, read, refresh
from femtosearch.read.documents import FileReader
from femtosearch.read.kinds import LANGUAGES, code_grammars, code_process, code_trees
from femtosearch.read.kinds.code_grammars import definitions_of, grammar_of, grammars, has_grammars
from femtosearch.read.kinds.code_process import MOST_LOST, Process
from femtosearch.read.walk import walk

from ..fakes import FakeModel

FOLDER = Path(__file__).parent / "code"


def headings():
    """Of each file in the folder its functions and classes, indented by depth."""
    files, name = {}, ""
    for line in (FOLDER / "headings.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            files[name].append(line[2:])
        else:
            name = line
            files[name] = []
    return files


def marks(path):
    """What a file's one document says of its places: (line, heading path)."""
    [file] = walk([path]).files
    [named] = FileReader(Options()).read(file)
    return [(facts["lines"], facts.get("heading", [])) for _, facts in named.entry.marks]


@pytest.mark.parametrize("name", headings())
def test_a_language(name):
    """Every function and class is a heading, below those that it is in."""
    paths = [path for _, path in marks(FOLDER / name) if path]
    assert ["  " * (len(path) - 1) + path[-1] for path in paths] == headings()[name]


def test_every_grammar_has_a_sample():
    languages = {path.suffix: LANGUAGES[path.suffix] for path in FOLDER.iterdir() if path.suffix != ".txt"}
    known = {grammar_of(language, suffix, "#") for suffix, language in languages.items()}
    assert known | {"python"} == set(grammars())


@pytest.mark.parametrize("grammar", grammars())
def test_a_grammar_has_the_nodes_that_its_table_names(grammar):
    language, _, known = code_trees._query(grammar)
    assert len(known) == len(list(definitions_of(grammar)))
    for definition in definitions_of(grammar):
        fields = [
            name for name in (*definition.names, definition.needs, definition.value) if name.isidentifier()
        ]
        assert all(name == "def" or language.field_id_for_name(name) for name in fields), definition


@pytest.mark.parametrize(
    ("name", "text", "grammar"),
    [
        ("a.h", "int f(void);", "c"),
        ("a.h", "namespace a {\nclass B {};\n}", "cpp"),
        ("a.h", "#import <A.h>\n@interface A\n@end", "objc"),
        ("a.m", "#import <A.h>", "objc"),
        ("a.m", "function y = f(x)\ny = x;\nend", None),
        ("a.tsx", "", "tsx"),
        ("a.mjs", "", "javascript"),
        ("a.toml", "", None),
    ],
)
def test_the_grammar_of_a_file(name, text, grammar):
    suffix = Path(name).suffix
    assert grammar_of(LANGUAGES[suffix], suffix, text) == grammar


def test_comments_and_attributes_belong_to_what_follows(tmp_path):
    code = "use a;\n\n/// Removes it.\n/// Really.\n#[inline]\nfn evict() {}\n\n// alone\n\nfn other() {}\n"
    (tmp_path / "a.rs").write_text(code)
    assert marks(tmp_path / "a.rs") == [(1, []), (3, ["fn evict"]), (10, ["fn other"])]


def test_places_are_in_characters(tmp_path):
    (tmp_path / "a.go").write_text("// 東京 é 🦊\n\nfunc Ärger() {}\nfunc b() {}\n", encoding="utf-8")
    [document] = read([tmp_path / "a.go"])
    [file] = walk([tmp_path / "a.go"]).files
    [named] = FileReader(Options()).read(file)
    starts = [
        document.text[offset:].split("\n")[0] for offset, facts in named.entry.marks if "heading" in facts
    ]
    assert starts == ["func Ärger() {}", "func b() {}"]


def test_what_does_not_parse_is_cut_by_lines(tmp_path):
    good = "class Good {\n  void first() { }\n}\n"
    (tmp_path / "A.java").write_text(
        good + "@@ ) } ;\nclass Broken {{ ((\n  void second() {\n" + "int x = ;\n" * 3
    )
    names = [path[-1] for _, path in marks(tmp_path / "A.java") if path]
    assert {"class Good", "void first", "class Broken"} <= set(names)


def test_python_that_does_not_parse_is_read_by_its_grammar(tmp_path):
    (tmp_path / "a.py").write_text(
        "class A:\n    def old(self):\n        print 'x'\n\n    def new(self): pass\n"
    )
    assert [path for _, path in marks(tmp_path / "a.py")][1:] == [
        ["class A", "def old"],
        ["class A", "def new"],
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.js", "function f(){" * 30_000),
        ("a.js", "[" * 200_000),
        ("a.c", "(" * 200_000),
        ("a.cpp", "a<" * 20_000),
        ("a.rb", "".join(f"<<A{n} + " for n in range(5_000))),
        ("a.kt", '"""${' * 20_000),
        ("a.swift", "#" * 100_000 + chr(34)),
        ("a.go", "".join(f"func f{n}() {{}}\n" for n in range(30_000))),
    ],
)
def test_hostile_code(tmp_path, monkeypatch, name, text):
    """A file that is made to break parsers is a document, and its headings are bounded."""
    monkeypatch.setattr(code_process, "MOST_SECONDS", 1.0)
    (tmp_path / name).write_text(text)
    [file] = walk([tmp_path / name]).files
    entries = list(FileReader(Options()).read(file))
    for named in entries:
        assert named.entry.text == text and len(named.entry.marks) <= code_grammars.MOST_DEFINITIONS + 1
        assert max(len(facts.get("heading", [])) for _, facts in named.entry.marks) <= code_grammars.DEEPEST


def test_a_process_that_ends_is_started_again():
    process = Process()
    try:
        assert process.ask("c", "int f(void) { }")["definitions"][0][2] == "int f"
        os.kill(process._child.pid, signal.SIGTERM)
        process._child.wait()
        assert process.ask("c", "int g(void) { }")["definitions"][0][2] == "int g" and process.lost == 0
    finally:
        process.close()


def test_where_no_process_can_be_started_code_is_cut_by_lines(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(code_process, "_PROCESS", Process())
    monkeypatch.setattr("subprocess.Popen", refuse)
    (tmp_path / "a.go").write_text("// doc\nfunc a() {}\n")
    assert marks(tmp_path / "a.go") == [(1, []), (2, ["func a"])]


def test_a_text_that_takes_too_long_costs_its_process(monkeypatch):
    process = Process()
    monkeypatch.setattr(code_process, "MOST_SECONDS", 0.0)
    try:
        answers = [process.ask("c", "int f(void) { }" * 10_000) for _ in range(MOST_LOST + 1)]
        assert answers == [None] * (MOST_LOST + 1) and process.lost == MOST_LOST
    finally:
        process.close()


def test_the_process_ends_with_what_it_is_asked_by():
    command = [sys.executable, "-m", "femtosearch.read.kinds.code_trees"]
    question = json.dumps({"grammar": "no such", "text": ""}) + "\n"
    run = subprocess.run(command, input=question, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "null\n"


def test_files_are_read_again_once_there_are_grammars(tmp_path, monkeypatch):
    """What was cut by lines is cut anew; files of other kinds are left alone."""
    assert has_grammars()
    (tmp_path / "a.go").write_text("// doc\nfunc a() {}\n")
    (tmp_path / "b.txt").write_text("text")
    for name in ("a.go", "b.txt"):
        os.utime(tmp_path / name, (1, 1))
    with Index(model=FakeModel()) as index:
        with monkeypatch.context() as patched:
            patched.setattr(code_grammars, "has_grammars", lambda: False)
            assert refresh(index, [tmp_path]).files == 2
            assert refresh(index, [tmp_path]).files == 0
            assert index.search("doc", hybrid=1)[0].heading == ()
        report = refresh(index, [tmp_path])
        assert report.files == 1 and report.files_unchanged == 1
        assert index.search("doc", hybrid=1)[0].heading == ("func a",)
