"""Files and folders are written whole, or what was there stays."""

import os
import stat
from pathlib import Path

import pytest

from femtosearch.disk import make_folder, replace_folder, whole_file, whole_folder, write_whole


def test_a_file_is_written_in_the_place_of_another(tmp_path):
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content and os.listdir(tmp_path) == ["file"]
    other = tmp_path / "other"
    other.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_file_that_fails_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(error), whole_file(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_file_is_synced_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("sync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    write_whole(tmp_path / "file", b"content")
    assert calls == ["sync", "replace", "sync"]


def test_new_folders_have_names_that_last(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("femtosearch.system.sync_folder", synced.append)
    make_folder(tmp_path / "a" / "b")
    assert sorted(synced) == [tmp_path, tmp_path / "a"]
    make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


def test_a_device_is_written_to_as_it_is():
    write_whole(Path(os.devnull), b"content")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_folder_is_filled_or_not(tmp_path):
    folder = tmp_path / "new" / "folder"
    with pytest.raises(KeyboardInterrupt), whole_folder(folder) as partial:
        (partial / "a").write_text("a")
        raise KeyboardInterrupt
    assert not folder.exists()
    with whole_folder(folder) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "a").write_text("a")
    assert [path.name for path in folder.rglob("*")] == ["inner", "a"]
    with pytest.raises(FileExistsError), whole_folder(folder) as partial:
        (partial / "b").write_text("b")
        (partial / "inner").mkdir()
    assert os.listdir(folder) == ["inner"]


def test_a_folder_takes_the_place_of_another(tmp_path):
    for content in ("first", "second"):
        draft = tmp_path / "draft"
        draft.mkdir()
        (draft / content).write_text(content)
        replace_folder(draft, tmp_path / "folder")
        assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == [content]


def test_what_takes_the_place_of_a_file_is_never_open_to_more_people(tmp_path, monkeypatch):
    path, seen = tmp_path / "keys.json", []
    path.write_text("{}")
    path.chmod(0o600)
    with whole_file(path) as file:
        file.write(b"secret")
        seen += [draft.stat().st_mode & 0o777 for draft in tmp_path.iterdir()]
    assert seen == [0o600, 0o600] and path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o664)
    write_whole(path, b"{}")
    assert path.stat().st_mode & 0o777 == 0o664
