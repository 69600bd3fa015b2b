"""`--files-from`: paths as lines, between NULs, and with bytes that are not UTF-8."""

import os
import sys

import pytest

from femtosearch.cli import main
from femtosearch.index.index import Index
from femtosearch.read.lines import listed_paths


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        (b"a b.txt\n\n  \nc.txt", ["a b.txt", "c.txt"]),
        (b"a.txt\r\nb.txt\r\n", ["a.txt", "b.txt"]),
        (b"a\nb.txt\0c.txt\0", ["a\nb.txt", "c.txt"]),
        (b"\xef\xbb\xbfa.txt\n", ["a.txt"]),
        (b"caf\xe9.txt\n", [os.fsdecode(b"caf\xe9.txt")]),
        (b"", []),
    ],
)
def test_listed_paths(tmp_path, content, paths):
    (tmp_path / "list").write_bytes(content)
    assert listed_paths(tmp_path / "list") == paths


@pytest.mark.skipif(sys.platform == "win32", reason="names have no such bytes")
def test_the_files_of_a_list_are_indexed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [b"a\nb.txt", b"caf\xe9.txt"]
    for name in names:
        with open(name, "w") as file:
            file.write("text")
    (tmp_path / "list").write_bytes(b"\0".join(names))
    assert main(["index", "index", "--files-from", "list", "--model", "femto"]) == 0
    with Index("index") as index:
        assert len(index) == 2
