"""`--watch` goes on where one look at the sources fails."""

import sys

from femtosearch.cli import indexing, main
from femtosearch.errors import LockedError, ReadError


def test_a_look_that_fails_is_taken_again(tmp_path, monkeypatch, capsys):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_text("one")
    failures, look = [LockedError("another process writes"), ReadError("d: gone")], indexing.refresh_sources

    def refresh(*arguments, **options):
        if failures:
            raise failures.pop(0)
        return look(*arguments, **options)

    def changes(store):
        (tmp_path / "d" / "b.txt").write_text("two")
        yield 1

    monkeypatch.setattr(indexing, "_PAUSE", 0)
    monkeypatch.setattr(indexing, "refresh_sources", refresh)
    monkeypatch.setattr("femtosearch.read.watch.changes", changes)
    monkeypatch.setattr("femtosearch.read.watch.watcher", lambda: None)
    command = ["index", str(tmp_path / "index"), str(tmp_path / "d"), "--model", "femto", "--watch"]
    assert main(command) == 0 and failures == []
    shown = capsys.readouterr()
    assert "another process writes; trying again" in shown.err and "d: gone; trying again" in shown.err
    assert "holds 2 documents" in shown.out

    failures.append(ReadError("d: gone"))
    assert main(["refresh", str(tmp_path / "index"), "--watch", "--strict"]) == 1


def test_a_folder_that_goes_is_told_once(tmp_path, monkeypatch, capsys):
    def changes(store):
        yield 1
        (tmp_path / "d").rename(tmp_path / "gone")
        yield 1
        yield 0
        (tmp_path / "gone").rename(tmp_path / "d")
        yield 1

    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_text("one")
    monkeypatch.setattr("femtosearch.read.watch.changes", changes)
    monkeypatch.setattr("femtosearch.read.watch.watcher", lambda: None)
    command = ["index", str(tmp_path / "index"), str(tmp_path / "d"), "--model", "femto", "--watch"]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert shown.err.count("not there:") == 1
    assert shown.out.count("refreshed 0 documents") == 2  # as it went, and as it came back


def test_a_library_that_is_missing_is_told_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    (tmp_path / "a.txt").write_text("one")
    assert main(["index", str(tmp_path / "index"), str(tmp_path / "a.txt"), "--watch"]) == 1
    assert "--watch needs watchfiles, which is not installed: pip install" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()
