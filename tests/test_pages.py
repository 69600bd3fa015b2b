"""What the pages say holds: code prints what they show, files exist, command lines parse."""

import doctest
import functools
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from femtosearch.cli.arguments import command_names, parser
from femtosearch.cli.find_arguments import with_find
from femtosearch.model.model import BUILT_INS, built_in

pytestmark = pytest.mark.again

ROOT = Path(__file__).parent.parent
WIDTH = 110
CARDS = [BUILT_INS / name / "README.md" for name in built_in()]
GUIDES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), ROOT / "benchmarks" / "README.md"]
PAGES = [*GUIDES, *CARDS]
LESSONS = ("how-it-works.md", "tutorial.md")
FOLDERS = "src|docs|tests|benchmarks|native|recipes|examples"
FENCE = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```", re.M | re.S)
UNSAID = re.compile(r"('[^']*')|(?<!\")\.\.\.(?!\")|  .*| [#<>].*|[][]")  # beside a command; quotes stay
PAST = ROOT / "CHANGELOG.md"  # names what is gone, too
WIDE = {"CHANGELOG.md", "cli.md", "format.md", "kernels.md"}  # pages that are still to be wrapped


def name_of(page):
    return str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else f"{page.parent.name}'s card"


pages = pytest.mark.parametrize("page", PAGES, ids=name_of)
present = pytest.mark.parametrize("page", [page for page in PAGES if page != PAST], ids=name_of)


def prose_of(text):
    """The page without its blocks of code."""
    return FENCE.sub("", text)


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lessons_code_prints_what_stands_below_it(lesson, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = FENCE.findall((ROOT / "docs" / lesson).read_text(encoding="utf-8"))
    names, compared = {}, 0
    for (language, code), (following, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python":
            exec(compile(code, lesson, "exec"), names)
            printed = capsys.readouterr().out
            if following == "text":
                assert printed == expected
                compared += 1
            else:
                assert not printed, f"{lesson} does not show what this prints: {printed}"
    assert compared >= 4


@pytest.mark.parametrize("page", [page for page in GUIDES if page.name not in WIDE], ids=name_of)
def test_prose_is_no_wider_than_code(page):
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.lstrip().startswith(("|", "<!--")):
            assert len(line) <= WIDTH, f"line {number} has {len(line)} characters"


@pages
def test_links_lead_to_files(page):
    for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


@present
def test_files_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(rf"(?<![\w/.])((?:{FOLDERS})/[\w./*-]*\w\*?/?)", text):
        assert list(ROOT.glob(name.rstrip("/"))), name


def lines_of(text):
    """(line, whether it is complete) of the shell; a fragment inside a sentence may leave arguments out."""
    for language, block in FENCE.findall(text):
        if language in ("", "sh", "bash"):
            yield from ((line, True) for line in block.splitlines())
    yield from ((" ".join(code.split()), False) for code in re.findall(r"`([^`]+)`", prose_of(text)))


def commands_of(text):
    """(arguments of femtosearch, whether they are complete) that a page shows."""
    for line, complete in lines_of(text):
        for command in re.split(r"&&|\|", line.replace("\\|", "|")):
            if command.strip().startswith("femtosearch "):
                yield shlex.split(UNSAID.sub(lambda match: match[1] or "", command.strip()))[1:], complete


cached_parser = functools.cache(parser)


def parse(arguments):
    """Raises SystemExit for what the command line does not take."""
    kind = {"fde": "fde_command", "weights": "weights_command"}.get("".join(arguments[1:2]), "command")
    trains = kind if arguments[0] == "train" else None
    parsing = cached_parser(trains, compares=arguments[:2] == ["evaluate", "compare"])
    parsing.parse_args(with_find(arguments, command_names(parsing)))


@present
def test_command_lines_parse(page, capsys):
    for arguments, complete in commands_of(page.read_text(encoding="utf-8")):
        if arguments[0] == "train" and importlib.util.find_spec("torch") is None:
            continue
        try:
            parse(arguments)
        except SystemExit as stop:
            error = capsys.readouterr().err
            fragment = "the following arguments are required" in error and not complete
            assert not stop.code or fragment, f"femtosearch {shlex.join(arguments)}: {error}"


def test_the_command_lines_are_looked_at():
    shown = [arguments for page in PAGES for arguments, _ in commands_of(page.read_text(encoding="utf-8"))]
    assert len(shown) > 50
    assert {"index", "search", "rerank", "export"} <= {arguments[0] for arguments in shown}
    with pytest.raises(SystemExit):
        parse(["index", "notes", "docs", "--no-such-flag"])


def test_a_card_exports_its_own_model():
    for name, card in zip(built_in(), CARDS, strict=True):
        exports = [
            words for words, _ in commands_of(card.read_text(encoding="utf-8")) if words[0] == "export"
        ]
        assert exports and all(words[1] == name for words in exports)


def test_docstrings_become_markdown():
    pytest.importorskip("griffe")
    page = str(ROOT / "docs" / "docstrings.py")
    spec = importlib.util.spec_from_file_location("docstrings", page)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert doctest.testmod(module) == (0, 1)


def test_every_native_file_is_in_the_page_of_kernels():
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    files = [path for path in (ROOT / "native").glob("*/*.*") if path.suffix in (".cc", ".h", ".inc")]
    files = [path for path in files if path.parent.name != "check"]
    assert len(files) > 50
    assert [path.name for path in files if path.name not in page and f"{path.stem}.*" not in page] == []
