"""`femtosearch install`: agents' files get one entry more and lose it again, and nothing else changes."""

import io
import json
import os
import sys
import tomllib

import pytest

from femtosearch.cli import main
from femtosearch.index.index import Index
from femtosearch.server.agents import AGENTS, Edit

from ..fakes import FakeModel


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    Index("notes", model=FakeModel()).close()
    return tmp_path / "home"


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main(["install", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def place(home, name, content):
    path = home / AGENTS[name].home
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


JSON_AGENTS = [name for name in AGENTS if name != "codex"]


@pytest.mark.parametrize("name", JSON_AGENTS)
def test_an_entry_comes_and_goes(home, run, name):
    before = json.dumps(
        {"theirs": ["é", {"a": 1}], "mcpServers": {"other": {"command": "x"}}}, indent=4, ensure_ascii=False
    )
    path = place(home, name, before)
    code, out, err = run(name, "--index", "notes", "--yes")
    assert code == 0 and f"wrote {path}" in err and "+" in out
    content = json.loads(path.read_text())
    (servers,) = [content[key] for key in AGENTS[name].keys]
    entry = servers["femtosearch"]
    words = entry["command"] if isinstance(entry["command"], list) else [entry["command"], *entry["args"]]
    assert words[-2:] == ["mcp", os.path.abspath("notes")] and os.path.isabs(words[0])
    assert content["theirs"] == ["é", {"a": 1}] and content["mcpServers"]["other"] == {"command": "x"}
    assert run(name, "--index", "notes", "--yes")[2].endswith("nothing to change\n")
    assert run(name, "--undo", "--yes")[0] == 0
    assert path.read_text() == before + "\n"
    assert run(name, "--undo", "--yes")[2].endswith("nothing to change\n")


@pytest.mark.parametrize("separators", [(",", ":"), None])
def test_a_file_of_one_line_stays_one(home, run, separators):
    before = json.dumps(
        {"theirs": [1, {"a": "x"}], "mcpServers": {"b": {"command": "y"}}}, separators=separators
    )
    path = place(home, "claude", before)
    assert run("claude", "--index", "notes", "--yes")[0] == 0
    assert path.read_text().count("\n") == 1 and (": " in path.read_text()) == (separators is None)
    assert run("claude", "--undo", "--yes")[0] == 0
    assert path.read_text() == before + "\n"


TOML = '# mine\nmodel = "a"\n\n[mcp_servers.other]\ncommand = "x"\n\n[tui]\ntheme = "dark"\n'


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cursor", '{\r\n  "theirs": "a\\r\\n",\r\n  "mcpServers": {\r\n    "x": {}\r\n  }\r\n}\r\n'),
        ("codex", '# theirs\r\n[mcp_servers.x]\r\ncommand = "x"\r\n'),
    ],
)
def test_ends_of_lines_and_a_byte_order_mark_stay(home, run, name, content, mark):
    path = place(home, name, "")
    before = (mark + content).encode()
    path.write_bytes(before)
    assert run("--undo", name, "--yes")[0] == 0 and path.read_bytes() == before
    assert run(name, "--index", "notes", "--yes")[0] == 0
    edited = path.read_bytes().decode()
    assert edited.startswith(mark) and edited.count("\ufeff") == len(mark)
    assert "femtosearch" in edited and "\n" not in edited.replace("\r\n", "")
    assert run("--undo", name, "--yes")[0] == 0 and path.read_bytes() == before


def test_toml_keeps_its_comments(home, run):
    path = place(home, "codex", TOML)
    assert run("codex", "--index", "notes", "--yes")[0] == 0
    assert path.read_text().startswith(TOML.rstrip())
    entry = tomllib.loads(path.read_text())["mcp_servers"]["femtosearch"]
    assert entry["args"][-1] == os.path.abspath("notes")
    assert run("codex", "--index", "notes", "--writable", "--yes")[0] == 0
    assert path.read_text().count("femtosearch]") == 1 and "--writable" in path.read_text()
    assert run("codex", "--undo", "--yes")[0] == 0
    assert path.read_text() == TOML


def test_a_new_file_is_made_for_an_agent_that_is_named(home, run):
    assert run("cursor", "codex", "--index", "notes", "--yes")[0] == 0
    assert "femtosearch" in json.loads((home / ".cursor/mcp.json").read_text())["mcpServers"]
    assert run("cursor", "codex", "--undo", "--yes")[0] == 0
    assert (home / ".cursor/mcp.json").read_text() == "{}\n" and (
        home / ".codex/config.toml"
    ).read_text() == ""


def test_agents_that_are_here_are_found(home, run):
    (home / ".cursor").mkdir()
    place(home, "claude", "{}")
    code, out, _ = run("--index", "notes", "--dry-run", "--json")
    shown = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [entry["agent"] for entry in shown] == ["claude", "cursor"]
    assert all(any(line.startswith("+") for line in entry["difference"]) for entry in shown)
    assert (home / ".claude.json").read_text() == "{}" and not (home / ".cursor/mcp.json").exists()


def test_a_projects_configuration(home, run, tmp_path):
    assert run("claude", "vscode", "--project", ".", "--index", "notes", "--name", "docs", "--yes")[0] == 0
    assert "docs" in json.loads((tmp_path / ".mcp.json").read_text())["mcpServers"]
    assert "docs" in json.loads((tmp_path / ".vscode/mcp.json").read_text())["servers"]
    assert not list(home.iterdir())


def test_it_is_asked_before_anything_is_written(home, run, monkeypatch):
    path = place(home, "claude", "{}")
    assert "say --yes" in run("claude", "--index", "notes")[2] and path.read_text() == "{}"

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert run("claude", "--index", "notes")[0] == 1 and path.read_text() == "{}"
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run("claude", "--index", "notes")[0] == 0 and "femtosearch" in path.read_text()


def test_links_and_rights_stay(home, run):
    path = place(home, "claude", "{}")
    real = home / "dotfiles.json"
    path.rename(real)
    path.symlink_to(real)
    real.chmod(0o600)
    assert run("claude", "--index", "notes", "--yes")[0] == 0
    assert path.is_symlink() and "femtosearch" in real.read_text() and real.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("agent", "content", "message"),
    [
        ("cursor", "// mine\n{}", "not plain JSON"),
        ("cursor", "[]", "expected an object, found list"),
        ("cursor", '{"mcpServers": []}', "mcpServers: expected an object"),
        ("cursor", "[" * 100_000, "not plain JSON"),
        ("codex", "a = ", "expected TOML"),
        ("codex", 'mcp_servers = {femtosearch = {command = "x"}}', "edit it by hand"),
        ("codex", 'mcp_servers = {other = {command = "x"}}', "edit it by hand"),
    ],
)
def test_a_file_that_cannot_be_edited_stays(home, run, agent, content, message):
    path = place(home, agent, content)
    code, out, err = run(agent, "--index", "notes", "--yes")
    assert code == 1 and message in err and not out
    assert path.read_text() == content and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--index", "notes"], "no agent's configuration is here: name one of claude,"),
        (["none", "--index", "notes"], "the agent 'none' is not known"),
        (["codex", "--project", ".", "--index", "notes"], "'codex' has no configuration in a project"),
        (["claude"], "--index: expected an index"),
        (["claude", "--index", "none"], "there is no index here"),
        (["claude", "--index", "notes", "--name", "a.b"], "--name: expected letters"),
    ],
)
def test_what_cannot_be_installed_is_told(home, run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 1 and message in err and not out and not list(home.iterdir())


def test_a_file_that_is_not_edited_does_not_keep_others_from_it(home, run):
    good, bad = place(home, "cursor", "{}"), place(home, "gemini", "// mine\n{}")
    code, _, err = run("--index", "notes", "--yes")
    assert code == 1 and "left alone" in err and "not plain JSON" in err
    assert "femtosearch" in good.read_text() and bad.read_text() == "// mine\n{}"


def test_escapes_stay_escapes(home, run):
    path = place(home, "cursor", '{"name": "caf\\u00e9", "cut": "\\ud83d"}')
    assert run("cursor", "--index", "notes", "--yes")[0] == 0
    assert "caf\\u00e9" in path.read_text() and "\\ud83d" in path.read_text()


def test_a_file_that_cannot_be_written_does_not_keep_others_from_it(home, run, monkeypatch):
    good, bad = place(home, "gemini", "{}"), place(home, "cursor", "{}")
    write = Edit.write

    def written(edit):
        if edit.path == bad:
            raise PermissionError(13, "Permission denied", str(bad))
        write(edit)

    monkeypatch.setattr(Edit, "write", written)
    code, _, err = run("--index", "notes", "--yes")
    assert code == 1 and "left alone:" in err and "Permission denied" in err
    assert "femtosearch" in good.read_text() and bad.read_text() == "{}"
    code, _, err = run("cursor", "--index", "notes", "--yes")
    assert code == 1 and err.startswith("femtosearch:") and "Permission denied" in err


def test_undoing_passes_over_a_file_that_is_not_edited(home, run):
    good = place(home, "gemini", "{}")
    assert run("--index", "notes", "--yes")[0] == 0
    bad = place(home, "cursor", "// mine\n{}")
    code, _, err = run("--undo", "--yes")
    assert code == 1 and "left alone" in err and good.read_text() == "{}\n"
    assert bad.read_text() == "// mine\n{}"
