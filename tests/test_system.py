"""What systems do differently: the main job without POSIX, locks without flock, paths of Windows."""

import json
import ntpath
import os
import pkgutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest

import femtosearch
from femtosearch import system
from femtosearch.errors import LockedError, StoreError
from femtosearch.index.index import Index
from femtosearch.index.lock import FolderLock
from femtosearch.read import ignore
from femtosearch.server.indexes import split_name

from . import bare
from .fakes import FakeModel

pytestmark = pytest.mark.again

MODEL = FakeModel(dims=8)
EXTRAS = ["fastapi", "httpx2", "huggingface_hub", "mcp", "onnx", "prometheus_client", "pyarrow", "starlette"]
EXTRAS += ["tokenizers", "torch", "transformers", "uvicorn", "watchfiles"]


@pytest.fixture
def no_flock(monkeypatch):
    monkeypatch.setattr(system, "HAS_FLOCK", False)
    monkeypatch.setattr(system, "lock", None)


@pytest.mark.slow
def test_the_main_job_without_posix(tmp_path):
    """Index, search, change, verify, build shards; and the index is one that a whole system opens."""
    notes = tmp_path / "notes"
    (notes / "deep").mkdir(parents=True)
    (notes / "a.md").write_text("# Pets\n\nA small cat slept.\n")
    (notes / "deep" / "b.txt").write_text("Stock markets fell.\n")
    (notes / "c.txt").write_text("It rained.\n")
    folder = tmp_path / "index"
    ran = bare.run("index", folder, notes, "--fde", "muvera")
    assert ran.returncode == 0, ran.stderr
    (notes / "deep" / "b.txt").unlink()
    for arguments in (
        ("index", folder, notes), ("delete", folder, "c.txt"), ("compact", folder),
        ("check", folder), ("snapshot", folder, tmp_path / "copy"), ("info", folder),
    ):  # fmt: skip
        ran = bare.run(*arguments)
        assert ran.returncode == 0, (arguments, ran.stderr)
    for shards in ("2", "1"):
        ran = bare.run("cluster", "build", notes, tmp_path / "out", "--shards", shards, "--address", "here")
        assert ran.returncode == 0, ran.stderr
    ran = bare.run("cluster", "search", tmp_path / "out", "kitten", "--address", "here", "--json")
    assert json.loads(ran.stdout.splitlines()[0])["id"] == "a.md", ran.stderr
    ran = bare.run("search", folder, "kitten", "--json", "-k", "1")
    assert json.loads(ran.stdout)["id"] == "a.md", ran.stderr
    with Index(folder) as index:
        assert index.verify() == [] and [document.id for document in index.documents()] == ["a.md"]


@pytest.mark.slow
def test_every_module_is_imported_without_posix():
    """The training rooms and the frameworks aside, which need their extras."""
    names = [
        module.name
        for module in pkgutil.walk_packages(femtosearch.__path__, "femtosearch.")
        if not module.name.startswith(
            ("femtosearch.train", "femtosearch.compat", "femtosearch.model.builtin")
        )
    ]
    code = (
        "import sys, importlib\nfrom tests import bare\nbare.strip()\n"
        f"sys.modules.update(dict.fromkeys({EXTRAS}))\n"
        "from femtosearch.errors import MissingExtraError\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except MissingExtraError:\n        pass\n"
        "    except ModuleNotFoundError as error:\n"
        "        if error.name in {*bare.MODULES}:\n            raise\n"
    )
    command = [sys.executable, "-c", code, *names]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=bare.ROOT)
    assert ran.returncode == 0 and len(names) > 150, ran.stderr


def test_one_writer_at_a_time_without_flock(tmp_path, no_flock):
    lock, other = (FolderLock(tmp_path / "writer.lock") for _ in range(2))
    with lock.hold(0.0), pytest.raises(LockedError, match=f"process {os.getpid()} "), other.hold(0.0):
        pass
    with other.hold(0.0):
        pass
    assert (tmp_path / "writer.lock.db").stat().st_size == 0


def test_the_lock_without_flock_dies_with_its_process(tmp_path, no_flock):
    code = (
        "import sys\nfrom tests import bare\nbare.strip()\nfrom pathlib import Path\n"
        "from femtosearch.index.lock import FolderLock\n"
        "with FolderLock(Path(sys.argv[1])).hold(1.0):\n    print('held', flush=True)\n    input()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "writer.lock")]
    lock = FolderLock(tmp_path / "writer.lock")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=bare.ROOT
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError), lock.hold(0.0):
            pass
        holder.kill()
        holder.wait()
        with lock.hold(1.0):
            pass


@pytest.mark.parametrize("content", [b"x", b"SQLite format 3\0" + bytes(84)])
def test_a_lock_file_of_somebody_is_left_as_it_is(tmp_path, no_flock, content):
    (tmp_path / "writer.lock.db").write_bytes(content)
    with (
        pytest.raises(StoreError, match="expected an empty file"),
        FolderLock(tmp_path / "writer.lock").hold(0.0),
    ):
        pass
    assert (tmp_path / "writer.lock.db").read_bytes() == content


def test_a_lock_that_is_a_link_is_refused(tmp_path, no_flock):
    (tmp_path / "precious").write_bytes(b"")
    (tmp_path / "writer.lock.db").symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match="a symbolic link"), FolderLock(tmp_path / "writer.lock").hold(0.0):
        pass


def test_an_index_that_was_begun_without_flock_is_made(tmp_path, no_flock):
    (tmp_path / "i").mkdir()
    with FolderLock(tmp_path / "i" / "writer.lock").hold(0.0):
        pass
    with Index(tmp_path / "i", model=MODEL) as index:
        index.add(["note"])
        assert len(index) == 1


def test_files_that_are_mapped_wait_for_the_next_writer(tmp_path, monkeypatch):
    """Windows removes no file that a reader has mapped: the write ends well, and a later one clears up."""
    unlink, kept = os.unlink, []

    def refuse(path, *rest, **named):
        if str(path).endswith(".seg"):
            kept.append(path)
            raise PermissionError(13, "The process cannot access the file", str(path))
        unlink(path, *rest, **named)

    monkeypatch.setattr(system, "KEEPS_MAPPED_FILES", True)
    with Index(tmp_path / "i", model=MODEL) as index:
        index.add([{"id": "a", "text": "note"}, {"id": "b", "text": "other"}])
        monkeypatch.setattr(os, "unlink", refuse)
        index.delete(["a"])
        index.compact()
        index.add(["other one"])
        assert kept and os.path.exists(kept[0])
        monkeypatch.setattr(os, "unlink", unlink)
        index.add(["third"])
        assert not os.path.exists(kept[0]) and index.verify() == []


def test_another_refusal_to_remove_is_told(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError):
        system.discard(tmp_path / "x")


def test_ids_of_windows_have_slashes(monkeypatch):
    walk = sys.modules["femtosearch.read.walk"]  # the package's own name for it is the function
    with monkeypatch.context() as patched:
        patched.setattr(os, "sep", "\\")
        patched.setattr(os, "path", ntpath)
        named = walk._name("notes\\deep\\..\\a.md"), walk._name("C:\\notes\\ä.md")
        spelled = walk.File("notes\\a.md", "a.md", "text").spelled
        below = ignore._below("C:\\code\\notes\\deep", "C:\\code")
    assert (*named, spelled, below) == ("notes/a.md", "C:/notes/ä.md", "notes/a.md", "notes/deep/")


def test_a_path_of_windows_is_no_name(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "path", ntpath)
        for place in (r"C:\date=2026\notes", r"notes\date=2026", "C:date=2026", "a/b=c"):
            assert split_name(place) == (None, place)
        assert split_name(r"notes=C:\notes") == ("notes", r"C:\notes")


def test_bounds_that_a_system_does_not_have_or_refuses(monkeypatch):
    class Refusing:
        RLIMIT_AS, RLIM_INFINITY = 5, -1

        @staticmethod
        def getrlimit(kind):
            return -1, -1

        @staticmethod
        def setrlimit(kind, limits):
            raise ValueError("current limit exceeds maximum limit")

    for resource in (None, Refusing):
        monkeypatch.setattr(system, "resource", resource)
        system.bound("RLIMIT_AS", 1)
        system.bound("RLIMIT_CPU", 1)


def test_cores_are_counted(monkeypatch):
    assert (
        system.cores() == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert system.cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert system.cores() == 1


def test_a_map_is_read_only(tmp_path):
    (tmp_path / "f").write_bytes(b"content")
    descriptor = os.open(tmp_path / "f", system.READING)
    mapped = system.mapped(descriptor, 7)
    os.close(descriptor)
    assert bytes(mapped) == b"content" and not np.frombuffer(mapped, np.uint8).flags.writeable


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has a folder for each user")
def test_a_temporary_folder_of_others_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = system.own_temporary_folder("x")
    assert folder.stat().st_mode & 0o077 == 0 and folder == system.own_temporary_folder("x")
    folder.chmod(0o770)
    with pytest.raises(PermissionError, match="others may write to it"):
        system.own_temporary_folder("x")
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="others may write to it"):
        system.own_temporary_folder("x")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "x-12345").mkdir(mode=0o700)
    with pytest.raises(PermissionError, match="others may write to it"):
        system.own_temporary_folder("x")


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    for name in ("XDG_CACHE_HOME", "FEMTOSEARCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value, expected in (
        ("HOME", tmp_path, tmp_path / ".cache" / "femtosearch"),
        ("XDG_CACHE_HOME", "relative", tmp_path / ".cache" / "femtosearch"),
        ("XDG_CACHE_HOME", tmp_path / "xdg", tmp_path / "xdg" / "femtosearch"),
        ("FEMTOSEARCH_CACHE", tmp_path / "own", tmp_path / "own"),
    ):
        monkeypatch.setenv(name, str(value))
        assert system.cache_folder() == expected
