"""Rules of what is left out, by git's own judgement and by cases."""

import os
import random
import shutil
import subprocess

import pytest

from femtosearch.read import Options, ignore, walk
from femtosearch.read.ignore import left_out_by, rules_in, rules_of

PATTERNS = ["*.log", "build/", "/top.md", "a/**/z.txt", "**/deep", "docs/*.md", "!keep.log", "\\#x", "\\!y"]
PATTERNS += [
    "foo",
    "[ab]*.txt",
    "[!a]x",
    "d?r/",
    "x/**",
    "?",
    "**",
    "*/q",
    "a[]]b",
    "t r",
    "[a-c/]k",
    "**/a/b",
]
PATTERNS += ["a/**", "b**c", "*.t*", "!docs/", "/**/m", "q/", "é*", "# a comment", "", "trailing  "]
PATTERNS += [
    "***/b",
    "a/****",
    "[[:alpha:]].txt",
    "[![:digit:]x]",
    "[[:upper:]_-]*",
    "[[:nothing:]]x",
    "[[:punct:]]y",
]
NAMES = ["a", "b", "z.txt", "deep", "docs", "x.md", "keep.log", "e.log", "#x", "!y", "foo", "ax.txt", "bx"]
NAMES += ["dir", "q", "m", "top.md", "build", "a]b", "t r", "ck", "bxxc", "éa", "x", "trailing", "X_", "-a"]


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(root, **options):
    return [file.name for file in walk([root], Options(**options)).files]


def make(root, rng):
    """A random tree with a random .gitignore; the paths of its files."""
    write(root / ".gitignore", "\n".join(rng.choice(PATTERNS) for _ in range(rng.randint(1, 4))) + "\n")
    paths = []
    for _ in range(20):
        parts = [rng.choice(NAMES) for _ in range(rng.randint(1, 4))]
        path = root.joinpath(*parts)
        try:
            if not path.exists():
                write(path)
                paths.append("/".join(parts))
        except OSError:  # a file is where the folder should be
            continue
    return paths


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge")
@pytest.mark.parametrize("seed", range(16))
def test_as_git_judges(seed, tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    paths = make(tmp_path, random.Random(seed))
    command = ["git", "-C", tmp_path, "check-ignore", "--stdin", "-z"]
    judged = subprocess.run(command, input="\0".join(paths).encode(), capture_output=True).stdout
    stack = rules_in(str(tmp_path), "", os.listdir(tmp_path))

    def is_left_out(path):
        parts = path.split("/")
        return any(left_out_by(stack, "/".join(parts[:n]), n < len(parts)) for n in range(1, len(parts) + 1))

    assert {path for path in paths if is_left_out(path)} == set(judged.decode().split("\0")) - {""}


def test_rules_of_a_project(tmp_path):
    for name in ("a.md", "secret.md", "node_modules/p/b.md", "build/c.md", "venv/pyvenv.cfg", "venv/d.md"):
        write(tmp_path / name)
    write(tmp_path / ".gitignore", "build/\nsecret.md\n")
    write(tmp_path / ".hidden" / "e.md")
    write(tmp_path / "sub" / ".femtosearchignore", "*.txt\n!keep.txt\n")
    write(tmp_path / "sub" / "f.txt")
    write(tmp_path / "sub" / "keep.txt")
    walked = walk([tmp_path])
    assert [file.name for file in walked.files] == ["a.md", "sub/keep.txt"]
    assert walked.reasons == {
        "hidden": 3,
        "ignored by .gitignore": 2,
        "ignored by .femtosearchignore": 1,
        "packages or a virtual environment": 2,
    }
    left_out = {os.path.relpath(skipped.where, tmp_path): skipped.reason for skipped in walked.left_out}
    assert left_out["secret.md"] == "ignored by .gitignore" and "node_modules" in left_out
    assert set(names(tmp_path, ignore=False)) >= {"build/c.md", "secret.md", "sub/f.txt"}
    assert ".hidden/e.md" in names(tmp_path, hidden=True)


def test_a_byte_order_mark_is_no_part_of_a_rule(tmp_path):
    (tmp_path / ".gitignore").write_bytes(b"\xef\xbb\xbfsecret.md\nother.md\n")
    for name in ("secret.md", "other.md", "kept.md"):
        (tmp_path / name).write_text("text")
    assert [os.path.basename(file.path) for file in walk([tmp_path]).files] == ["kept.md"]


def test_a_file_that_is_named_is_read_whatever_the_rules_say(tmp_path):
    write(tmp_path / ".gitignore", "*\n")
    write(tmp_path / ".env.md")
    assert [file.name for file in walk([tmp_path / ".env.md"]).files] == [f"{tmp_path}/.env.md"]


def test_include_and_exclude(tmp_path):
    for name in ("a.md", "b.txt", "sub/c.md", "sub/d.txt"):
        write(tmp_path / name)
    assert names(tmp_path, include=("*.md",)) == ["a.md", "sub/c.md"]
    assert names(tmp_path, exclude=("sub/",)) == ["a.md", "b.txt"]
    assert names(tmp_path, include=("*.md", "/b.txt"), exclude=("c.*",)) == ["a.md", "b.txt"]


def test_the_rules_of_the_repository_above(tmp_path):
    write(tmp_path / ".git" / "info" / "exclude", "e.md\n")
    write(tmp_path / ".gitignore", "docs/secret.md\n/b.md\n")
    for name in ("a.md", "b.md", "secret.md", "e.md"):
        write(tmp_path / "docs" / name)
    assert names(tmp_path / "docs") == ["a.md", "b.md"]
    write(tmp_path / ".git" / "info" / "exclude", "/docs/a.md\n")
    assert "docs/a.md" not in names(tmp_path)
    shutil.rmtree(tmp_path / ".git")  # and no repository has no rules above it
    assert len(names(tmp_path / "docs")) == 4


@pytest.mark.parametrize("linked", [False, True])
def test_a_file_that_its_folder_leaves_out_is_read_where_it_is_named(tmp_path, linked):
    (tmp_path / "build.log").write_text("error")
    if linked:
        os.link(tmp_path / "build.log", tmp_path / "other.log")
    paths = [str(tmp_path), str(tmp_path / "build.log")]
    behind, before = walk(paths), walk(paths[::-1])
    for walked in (behind, before):
        assert [file.path for file in walked.files] == paths[1:]
    assert set(behind.kinds) == {".log"} and not behind.reasons["read already, by another path"]
    assert before.reasons["read already, by another path"] == 1 + linked and not before.kinds


def test_an_index_in_the_folder_is_left_out(tmp_path):
    write(tmp_path / "idx" / "catalog.db")
    write(tmp_path / "idx" / "segments" / "a.md")
    write(tmp_path / "a.md")
    assert names(tmp_path) == ["a.md"]


def test_a_class_that_fits_nothing_and_a_rule_of_one_slash():
    rules = rules_of(["[z-a]", "/", "!", "\\"], "x")
    assert [rules.verdict(name, False) for name in ("z", "/", "")] == [None] * 3


def test_many_wildcards_fit_what_a_regular_expression_fits(monkeypatch):
    """And take no time that grows with the number of ways to share a path out among them."""
    rng = random.Random(5)
    parts = ["a", "b", "*", "**/", "/", "?", "[ab]", "a*", "**"]
    patterns = ["".join(rng.choices(parts, k=rng.randrange(1, 7))) for _ in range(300)]
    paths = [
        "/".join("".join(rng.choices("ab", k=rng.randrange(1, 4))) for _ in range(n % 4 + 1))
        for n in range(60)
    ]
    verdicts = []
    for most in (99, -1):
        monkeypatch.setattr(ignore, "_MOST_WILDCARDS", most)
        ignore._rule.cache_clear()
        verdicts.append([[rules_of([each], "x").verdict(path, False) for path in paths] for each in patterns])
    ignore._rule.cache_clear()
    assert verdicts[0] == verdicts[1]
    assert {verdict for row in verdicts[0] for verdict in row} == {None, True}


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "**/a/" * 30 + "b", "a*" * 50, "[a-z]*" * 30 + "!"])
def test_a_hostile_pattern_ends(pattern):
    """A regular expression of it would take years."""
    for path in ("/".join(["a" * 60] + ["a"] * 60), "a" * 250):
        assert rules_of([pattern], "x").verdict(path, False) in (None, True)
