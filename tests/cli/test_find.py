"""`femtosearch "a question" [PATH...]`: no index named, none made first, and grep's habits."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys

import pytest

from femtosearch.cli import main
from femtosearch.cli.automatic import automatics, data_folder
from femtosearch.errors import LockedError

FILES = {
    "src/retry.py": "\n\n\ndef upload():\n    # failed uploads are retried with a growing pause\n    pass\n",
    "src/colour.py": "RED = 'red'\n",
    "docs/moon.md": "# Moon\n\nThe red moon rises at night.\n",
    "docs/bread.md": "# Bread\n\nBake for forty minutes.\n",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with some files, and a user's data folder of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name, text in FILES.items():
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main([*map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_one_command_finds_a_line(here, run):
    code, out, err = run("how are failed uploads retried", "-k", 1)
    assert (code, err) == (0, "")
    assert out == "src/retry.py:5:     # failed uploads are retried with a growing pause\n".replace(
        ":     #", ": #"
    )
    assert run("find", "how are failed uploads retried", ".", "-k", 1, "-n")[1] == out
    assert sorted(os.listdir(here)) == ["docs", "src"]


def test_it_follows_what_changes(here, run):
    assert "docs/moon.md:3" in run("moon at night", "-k", 1)[1]
    (here / "docs/moon.md").unlink()
    (here / "docs/owl.md").write_text("The owl flies at night under the moon.\n")
    assert run("moon at night", "-k", 1)[1].startswith("docs/owl.md:1: The owl")


def test_an_index_above_is_used_for_what_is_below(here, run):
    assert run("red", "-l")[0] == 0
    assert set(run("red", "src", "-l")[1].splitlines()) == {"src/colour.py", "src/retry.py"}
    assert [automatic.roots for automatic in automatics()] == [(str(here),)]
    assert set(run("red", "docs", "src/colour.py", "-l")[1].splitlines()) == {
        "docs/moon.md", "docs/bread.md", "src/colour.py",
    }  # fmt: skip


def test_kinds_and_names_narrow(here, run):
    assert set(run("red", "-l", "--type", "md")[1].splitlines()) == {"docs/moon.md", "docs/bread.md"}
    assert run("red", "-l", "--include", "*moon*")[1] == "docs/moon.md\n"
    assert run("red", "-l", "--exclude", "docs/*", "--exclude", "retry.py")[1] == "src/colour.py\n"
    assert run("red", "-l", "--where", "title = 'Bread'")[1] == "docs/bread.md\n"
    code, out, err = run("red", "--include", "*.none")
    assert (code, out, err) == (1, "", "nothing found in 4 documents\n")


def test_context_null_and_json(here, run):
    assert run("growing pause", "-k", 1, "-C", 1)[1].splitlines() == [
        "src/retry.py-4- def upload():",
        "src/retry.py:5: # failed uploads are retried with a growing pause",
        "src/retry.py-6- pass",
    ]
    assert set(run("red", "-l", "-0")[1].split("\0")) == {*FILES, ""}
    (line,) = run("red moon", "-k", 1, "--json")[1].splitlines()
    hit = json.loads(line)
    assert hit["rank"] == 1 and hit["source"] == str(here / "docs/moon.md") and hit["lines"]


def test_list_status_and_forget(here, run):
    assert run("list") == (
        0,
        "",
        'none yet: femtosearch "a question" makes one of the folder that you are in\n',
    )
    assert run("status")[0] == 1
    run("red", ".")
    assert re.fullmatch(rf"{here}  4 documents, .*\n", run("list")[1])
    (here / "docs/bread.md").unlink()
    (here / "new.txt").write_text("new")
    os.utime(here / "docs/moon.md", ns=(1, 1))
    (here / "src/colour.py").write_text("BLUE = 1\n")
    assert run("status")[1].splitlines()[1] == "files: 1 new, 1 changed, 1 gone"
    facts = json.loads(run("status", "src", "--json")[1])
    assert facts["roots"] == [str(here)] and (facts["new"], facts["changed"], facts["gone"]) == (1, 1, 1)
    assert run("forget", ".")[0] == 0 and not [*automatics()]
    assert "no index was made of it" in run("forget", ".")[2]


def test_the_data_folder(here, monkeypatch):
    assert data_folder() == here.parent / "data" / "femtosearch" / "indexes"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(sys, "platform", "linux")
    assert str(data_folder()) == "/home/somebody/.local/share/femtosearch/indexes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a cat", "none"], "none: there is no such file or folder"),
        (["a cat", "-"], "-: there is no such file or folder: `femtosearch rerank QUERY` puts the lines"),
        (["a cat", "pipe"], "pipe: expected a file or a folder, found a pipe (FIFO): `femtosearch rerank"),
        (["a cat", "/"], "that is all that you have: name a folder in it"),
        (["a cat", "--type", "nonsense"], "--type: expected one of c, cpp,"),
        ([" "], "query: it is empty"),
        (["a cat", "--where", "x >"], "where"),
    ],
)
def test_what_cannot_be_searched_is_told(here, run, arguments, message):
    os.mkfifo("pipe")
    code, out, err = run(*arguments)
    assert code == 1 and message in err and not out


@pytest.mark.parametrize("word", ["serach", "indx", "imprt"])
def test_a_misspelled_command_is_no_query(here, run, capsys, word):
    with pytest.raises(SystemExit) as stop:
        main([word, "notes", "a cat"])
    assert stop.value.code == 2 and not [*automatics()]
    assert f"`femtosearch find {word}` to search for that word" in capsys.readouterr().err
    assert run("find", word, "docs", "-k", 1)[0] in (0, 1)


def test_a_home_folder_is_not_indexed_by_accident(here, run, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert "that is all that you have" in run("a cat")[2]


def test_files_in_which_nothing_is_text(here, run):
    (here / "empty").mkdir()
    assert run("a cat", "empty") == (1, "", "nothing found in 0 documents\n")


@pytest.mark.slow
def on_terminal(here, *arguments):
    """What a command prints on a terminal."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "femtosearch", *arguments]
    environment = {name: text for name, text in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    process = subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL, cwd=here, env=environment)
    process.wait(60)
    os.close(slave)
    return os.read(master, 10_000).decode()


def test_a_terminal_gets_colours_and_links(here):
    printed = on_terminal(here, "red moon", "-k", "1")
    assert f"\x1b]8;;file://{here}/docs/moon.md#L3\x1b\\docs/moon.md:3\x1b]8;;\x1b\\: " in printed
    assert "\x1b[1mred\x1b[22m \x1b[1mmoon\x1b[22m" in printed


def test_the_files_alone_are_links_to_their_bytes_on_a_terminal(here):
    try:
        (here / os.fsdecode(b"moon \xe9.md")).write_text("The moon is red tonight.\n")
    except OSError:
        pytest.skip("this file system has no such names")
    printed = on_terminal(here, "red moon", "-l")
    assert f"\x1b]8;;file://{here}/docs/moon.md\x1b\\docs/moon.md\x1b]8;;\x1b\\\r\n" in printed
    assert f"\x1b]8;;file://{here}/moon%20%E9.md\x1b\\moon \ufffd.md\x1b]8;;\x1b\\" in printed


def test_the_same_text_elsewhere_hides_no_hit(here, run):
    for folder in ("backup", "src"):
        (here / folder).mkdir(exist_ok=True)
        (here / folder / "pump.md").write_text("The pump PX-7300 needs oil.\n")
    line = "pump.md:1: The pump PX-7300 needs oil.\n"
    assert run("oil of the pump", "-k", 1)[1] in (f"backup/{line}", f"src/{line}")
    assert run("oil of the pump", "src", "-k", 1)[1] == f"src/{line}"
    assert run("oil of the pump", "--exclude", "*backup*", "-k", 1)[1] == f"src/{line}"
    assert run("oil of the pump", "--include", "backup/*", "-k", 1)[1] == f"backup/{line}"
    assert run("oil of the pump", "-k", 2)[1].count("pump.md") == 1  # of one text once


def test_json_is_that_of_a_search(here, run):
    (here / "docs/long.md").write_text("# Long\n\n" + "The comet passes by.\n\n" * 400)
    (hit,) = map(json.loads, run("the comet qqqzzz", "-k", 1, "--json")[1].splitlines())
    index = automatics().__next__().folder
    (other,) = map(json.loads, run("search", index, "the comet qqqzzz", "-k", 1, "--json")[1].splitlines())
    assert hit.keys() == other.keys() and "explanation" not in hit
    assert len(hit["text"]) == hit["passage"][1] - hit["passage"][0] < 5000


def test_names_for_programs_are_their_bytes(here, capfdbinary):
    name = os.fsdecode(b"comet \xff.txt")
    try:
        (here / name).write_text("a comet\n")
    except OSError:
        pytest.skip("this file system has no such names")
    assert main(["find", "a comet", ".", "-k", "1", "-l", "-0"]) == 0
    assert capfdbinary.readouterr().out == b"comet \xff.txt\0"


def test_what_is_there_is_searched_while_another_process_indexes(here, run, monkeypatch):
    run("moon at night", "-k", 1)
    (here / "docs/owl.md").write_text("The owl flies at night.\n")

    def taken(*arguments, **options):
        raise LockedError("another process is writing")

    monkeypatch.setattr("femtosearch.cli.find.Run.into", taken)
    code, out, err = run("moon at night", "-k", 1)
    assert code == 0 and out.startswith("docs/moon.md:3") and "what there is by now is searched" in err


@pytest.mark.parametrize(
    "name", ["build/walrus.txt", ".github/walrus.md", "node_modules/walrus.js", "walrus.xyz"]
)
@pytest.mark.parametrize("folder", [True, False])
def test_what_is_named_is_read_whatever_a_folder_above_leaves_out(here, run, name, folder):
    (here / ".gitignore").write_text("build/\n")
    (here / name).parent.mkdir(exist_ok=True)
    (here / name).write_text("// the walrus swims\n")
    named = os.path.dirname(name) if folder and "/" in name else name
    assert "walrus" not in run("walrus swims", ".")[1]
    if not (folder and name.startswith("build")):  # a folder whose own rules, above it, leave all of it out
        assert run("walrus swims", named)[0] == 0
    assert "moon.md" in run("moon at night", "docs")[1] and len([*automatics()]) <= 2


@pytest.mark.parametrize("rule", ["draft.md", "*.txt", "new/draft.md"])
def test_a_folder_that_is_named_gives_the_same_whether_one_above_was_searched_or_not(here, run, rule):
    (here / ".gitignore").write_text(f"{rule}\n")  # which, without a repository, says nothing of it
    (here / "new").mkdir()
    for name in ("draft.md", "draft.txt", "whole.md"):
        (here / "new" / name).write_text(f"a walrus, {name}\n")
    alone = run("walrus", "new", "-l")[1]
    run("forget", "new")
    run("walrus", ".")
    assert run("walrus", "new", "-l")[1] == alone


def test_an_index_of_which_a_folder_is_gone_keeps_nobody_from_the_others(here, run):
    run("moon", "docs", "src")
    shutil.rmtree(here / "src")
    assert run("moon at night", "docs", "-k", 1)[1].startswith("docs/moon.md")


@pytest.mark.parametrize("part", ["catalog.db", "segments/1.seg"])
@pytest.mark.parametrize("by_folder", [True, False])
def test_a_damaged_index_is_told_and_forgotten(here, run, part, by_folder):
    run("moon", "docs")
    run("moon", "src")
    (docs,) = (automatic.folder for automatic in automatics() if automatic.roots == (str(here / "docs"),))
    (docs / part).write_bytes(b"damage" * 100)
    code, out, err = run("moon", "docs")
    assert (code, out) == (1, "") and f"`femtosearch forget {docs}` removes it" in err
    listed = run("list")
    assert str(here / "src") in listed[1] and f"femtosearch forget {docs}" in listed[2]
    assert run("forget", docs if by_folder else "docs")[0] == 0 and not docs.exists()
    assert run("moon at night", "docs", "-k", 1)[1].startswith("docs/moon.md")


def test_a_damaged_index_above_keeps_nobody_from_a_folder(here, run):
    run("moon", ".")
    ((above,),) = [[automatic.folder for automatic in automatics()]]
    (above / "segments/1.seg").unlink()
    assert run("moon at night", "docs", "-k", 1)[1].startswith("docs/moon.md")


def test_a_new_folder_is_of_the_index_above(here, run):
    run("moon", ".")
    (here / "new").mkdir()
    (here / "new" / "a.md").write_text("a walrus\n")
    assert run("walrus", "new")[0] == 0 and len([*automatics()]) == 1


def test_files_that_links_lead_to_are_shown(here, run, tmp_path):
    for name, text in (("ostrich.txt", "an ostrich runs\n"), ("far/emu.txt", "an emu drinks\n")):
        path = tmp_path / "other" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (here / "docs" / "link.txt").symlink_to(tmp_path / "other" / "ostrich.txt")
    (here / "src" / "linked").symlink_to(tmp_path / "other" / "far")
    for path, text in ((".", "an ostrich runs"), (".", "an emu drinks"), ("docs", "an ostrich runs")):
        assert text in run(text, path, "-k", 1)[1]
    assert "an emu drinks" in run("an emu drinks", "src", "-k", 1)[1]
    assert "an emu drinks" not in run("an emu drinks", "docs", "-k", 1)[1]


def test_files_that_cannot_be_read_are_told(here, run):
    (here / "docs" / "bad.jsonl").write_text('{"text": "an emu"}\nnonsense\n')
    for number in range(4):
        (here / "docs" / f"{number}.csv").write_text("a,b\n1,2\n")
    code, out, err = run("an emu", "-k", 1)
    assert code == 0 and "bad.jsonl" in out
    assert err.count("skipped:") == 4 and "2 more" in err
    assert "skipped:" not in run("an emu", "--quiet")[2]
    assert "skipped: docs/0.csv:1: expected" in err and "skipped:" not in run("red", "src")[2]


@pytest.mark.parametrize("above", [True, False])
def test_a_file_that_is_named_and_cannot_be_read_is_an_error(here, run, above):
    (here / "bad.pdf").write_bytes(b"%PDF-1.4 nonsense")
    (here / "bad.csv").write_text("a,b\n1,2\n")
    (here / "half.jsonl").write_text('{"text": "an emu"}\nnonsense\n')
    if above:
        assert run("an emu", ".")[0] == 0
    for name in ("bad.pdf", "bad.csv"):
        code, out, err = run("an emu", name, "--quiet")
        assert (code, out) == (1, "") and err.startswith(f"femtosearch: {name}:") and err.count("\n") == 1
    code, out, err = run("an emu", "half.jsonl", "bad.csv", "bad.csv")
    assert code == 1 and out == "half.jsonl:1: an emu\n"
    assert err.splitlines()[0].startswith("femtosearch: bad.csv:1: expected a column 'text'")
    assert err.splitlines()[1].startswith("skipped: half.jsonl:2:") and len(err.splitlines()) == 2
    assert run("an emu", "half.jsonl")[0] == 0


@pytest.mark.parametrize("word", ["indexing", "searching", "exports", "imported", "checks"])
def test_a_word_that_is_like_a_command_is_a_query(here, run, word):
    assert run(word, "docs", "-k", 1)[0] in (0, 1)
