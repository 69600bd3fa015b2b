"""Builds in this process: what is divided, resumed, replaced and refused."""

import functools
import gzip
import json
import ntpath
import os
import shutil
import tempfile
import threading
import time
import zipfile
from contextlib import nullcontext, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from femtosearch import system
from femtosearch.errors import CorruptError, FemtosearchError, LockedError, ReadError, StoreError
from femtosearch.index.index import Index
from femtosearch.read.entries import Options
from femtosearch.server.cluster import build as building
from femtosearch.server.cluster import holder, portions
from femtosearch.server.cluster.build import build
from femtosearch.server.cluster.cluster import Cluster
from femtosearch.server.cluster.engine import Here
from femtosearch.server.cluster.manifest import shard_of
from femtosearch.server.cluster.router import MissingShardsError, Patience
from femtosearch.server.cluster.storage import Bucket, Folder, local_path, storage_at

from .conftest import SHARDS, write_lines


def ids_of(out):
    manifest = building.read_manifest(building.storage_at(out))
    shards = []
    for number in range(len(manifest.shards)):
        with Index(out / manifest.folder(number)) as index:
            shards.append({document.id for document in index})
    return shards


def test_a_shard_is_an_ordinary_index_of_the_ids_that_are_its(built, single):
    shards = ids_of(built)
    assert set.union(*shards) == {document.id for document in single}
    for number, ids in enumerate(shards):
        assert {shard_of(name, SHARDS) for name in ids} == {number}


def test_of_one_id_the_last_document_counts(built, single):
    with Cluster(built, address="here", model="femto") as cluster:
        assert cluster.get("d55").text.endswith(" again")
        assert cluster.get("d55") == single.get("d55")


def test_nothing_but_shards_and_the_manifest_is_left(built):
    assert sorted(path.name for path in built.iterdir())[1:] == ["build.lock", "manifest.json"]
    [folder] = built.glob("build-*")
    assert len(list(folder.glob("shard-*.json"))) == SHARDS
    assert not (folder / "spool").exists()


def test_the_same_command_again_does_nothing(corpus, built):
    again = build([corpus], built, shards=SHARDS, address="here", model="femto")
    assert (again.divided, again.encoded) == (0, 0)


class Failing(Here):
    """An engine that stops after so many tasks."""

    def __init__(self, tasks):
        self.tasks = tasks

    def run(self, task, calls):
        for number, call in enumerate(calls):
            if not self.tasks:
                raise StoreError("the power went")
            self.tasks -= 1
            yield number, task(*call)


@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 4])
def test_an_interrupted_build_goes_on(corpus, single, tmp_path, monkeypatch, tasks):
    monkeypatch.setattr(portions, "PORTION", 1)
    with pytest.raises(StoreError, match="the power went"):
        build([corpus], tmp_path, shards=SHARDS, model="femto", engine=Failing(tasks))
    with pytest.raises(StoreError, match="no cluster's index here"):
        Cluster(tmp_path, address="here")
    again = build([corpus], tmp_path, shards=SHARDS, address="here", model="femto")
    assert again.divided == max(0, 2 - tasks)
    assert again.encoded == SHARDS - max(0, tasks - 2)
    assert again.manifest.documents == len(single)


def test_what_an_attempt_left_behind_goes(corpus, tmp_path):
    with pytest.raises(StoreError, match="the power went"):
        build([corpus], tmp_path, shards=SHARDS, model="femto", engine=Failing(2))
    [folder] = tmp_path.glob("build-*")
    (folder / "shard-0001-deadbeef" / "segments").mkdir(parents=True)
    build([corpus], tmp_path, shards=SHARDS, address="here", model="femto")
    assert not (folder / "shard-0001-deadbeef").exists()


def test_a_spool_that_lost_lines_is_an_error(corpus, tmp_path):
    with pytest.raises(StoreError, match="the power went"):
        build([corpus], tmp_path, shards=SHARDS, model="femto", engine=Failing(1))
    [ready] = tmp_path.glob("build-*/spool/*/ready.json")
    ready.write_text(json.dumps([count + 1 for count in json.loads(ready.read_text())]))
    with pytest.raises(CorruptError, match=r"expected \d+ documents of shard 0, found"):
        build([corpus], tmp_path, shards=SHARDS, address="here", model="femto")


def test_builds_before_the_last_are_removed(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    names = []
    for turn in range(3):
        write_lines(folder / "a.jsonl", range(4), f" {turn}")
        names.append(
            build([folder], tmp_path / "out", shards=1, address="here", model="femto").manifest.build
        )
    assert len(set(names)) == 3
    assert {path.name for path in (tmp_path / "out").glob("build-*")} == {
        f"build-{name}" for name in names[1:]
    }


def test_files_of_one_name_in_two_folders_are_two_documents(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(f"flow {name}")
    built = build([tmp_path / "x", tmp_path / "y"], tmp_path / "out", shards=2, address="here", model="femto")
    assert built.manifest.documents == 2


def test_folders_of_others_stay(tmp_path):
    """A folder that is built to may be one of somebody's; what is called as ours alone goes."""
    (tmp_path / "a.txt").write_text("a flow")
    for name in ("build-tools", "build-0123456789abcdex", "build-0123456789abcdef"):
        (tmp_path / "out" / name).mkdir(parents=True)
    build([tmp_path / "a.txt"], tmp_path / "out", shards=1, address="here", model="femto")
    assert sorted(path.name for path in (tmp_path / "out").glob("build-*"))[-1] == "build-tools"
    assert (tmp_path / "out" / "build-0123456789abcdex").exists()
    assert not (tmp_path / "out" / "build-0123456789abcdef").exists()


class Meanwhile(Here):
    """An engine that does something after so many tasks."""

    def __init__(self, tasks, work):
        self.tasks, self.work = tasks, work

    def run(self, task, calls):
        for number, call in enumerate(calls):
            yield number, task(*call)
            self.tasks -= 1
            if not self.tasks:
                self.work()


def test_one_build_at_a_time_writes_to_a_folder(corpus, tmp_path):
    refused = []

    def build_too():
        try:
            build([corpus], tmp_path, shards=2, address="here", model="femto")
        except LockedError as error:
            refused.append(str(error))

    thread = threading.Thread(target=build_too)
    build(
        [corpus],
        tmp_path,
        shards=2,
        model="femto",
        engine=Meanwhile(2, lambda: thread.start() or thread.join()),
    )
    [told] = refused
    assert f"build.lock: process {os.getpid()} " in told
    with Cluster(tmp_path, address="here", model="femto") as cluster:
        assert len(cluster) == 90


@pytest.mark.parametrize("tasks", range(1, 5))
def test_builds_at_a_time_make_one_index_or_an_error(corpus, tmp_path, monkeypatch, single, tasks):
    """Where there are no locks: each writes shards of its own, and one removes what is not its own."""
    monkeypatch.setattr(Folder, "alone", lambda _: nullcontext())
    monkeypatch.setattr(portions, "PORTION", 1)
    other = lambda: build([corpus], tmp_path, shards=2, address="here", model="femto")  # noqa: E731
    with suppress(StoreError):
        build([corpus], tmp_path, shards=2, model="femto", engine=Meanwhile(tasks, other))
    with Cluster(tmp_path, address="here", model="femto") as cluster:
        assert cluster.search("flutter") == single.search("flutter")


@pytest.mark.parametrize("content", [b'{"name": "a web application"}', b"\xff", b"[" * 100_000])
def test_a_manifest_of_something_else_stays_and_nothing_is_built(corpus, tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(StoreError, match="nothing was built: remove that file, or choose another place"):
        build([corpus], tmp_path, shards=1, model="femto", engine=Failing(0))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]


def test_what_was_built_among_the_sources_is_no_source(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    write_lines(folder / "a.jsonl", range(4))
    with pytest.raises(StoreError, match="the power went"):
        build([folder], folder, shards=2, model="femto", engine=Failing(2))
    first = build([folder], folder, shards=2, address="here", model="femto")
    again = build([folder], folder, shards=2, address="here", model="femto")
    assert (first.divided, first.encoded, first.skipped) == (0, 1, ())
    assert (again.encoded, again.manifest) == (0, first.manifest)


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: next(out.glob("build-*/shard-0001-*/segments/*.seg")).write_bytes(b"short"),
        lambda out: next(out.glob("build-*/shard-0001-*/catalog.db")).unlink(),
        lambda out: shutil.rmtree(next(out.glob("build-*/shard-0001-*"))),
        lambda out: next(out.glob("build-*/shard-0001.json")).write_bytes(b"{"),
        lambda out: next(out.glob("build-*/shard-0001.json")).write_bytes(b"\xff"),
        lambda out: next(out.glob("build-*/shard-0001.json")).write_bytes(b"[" * 100_000),
        lambda out: next(out.glob("build-*/shard-0001.json")).write_bytes(b'{"files": {}}'),
    ],
)
def test_a_shard_that_was_damaged_is_built_again(corpus, built, tmp_path, single, damage):
    """And who serves the build opens the new shard."""
    out = tmp_path / "out"
    shutil.copytree(built, out)
    damage(out)
    with Cluster(out, address="here", model="femto", partial=True) as cluster:
        again = build([corpus], out, shards=SHARDS, address="here", model="femto")
        assert again.encoded == 1 and again.manifest.documents == len(single)
        assert cluster.refresh() and not cluster.refresh()
        assert cluster.search("flutter", k=9) == single.search("flutter", k=9)


def test_a_spool_that_was_damaged_is_told_or_made_again(corpus, tmp_path, single):
    with pytest.raises(StoreError, match="the power went"):
        build([corpus], tmp_path, shards=SHARDS, model="femto", engine=Failing(1))
    [spool] = tmp_path.glob("build-*/spool/*")
    content = (spool / "0.jsonl.gz").read_bytes()
    for damaged in (content[:-9], b"nothing", gzip.compress(b"[1]\n"), gzip.compress(b'["a", "b", 1]\n')):
        (spool / "0.jsonl.gz").write_bytes(damaged)
        with pytest.raises(CorruptError, match=r"damaged .* remove it, and build again"):
            build([corpus], tmp_path, shards=SHARDS, address="here", model="femto")
    for counts in (b"{", b"7", b'[1, 2, "3"]'):
        (spool / "ready.json").write_bytes(counts)
        assert building._counts(building.storage_at(spool.parent), spool.name, SHARDS) is None
    again = build([corpus], tmp_path, shards=SHARDS, address="here", model="femto")
    assert again.divided == 1 and again.manifest.documents == len(single)


@pytest.mark.parametrize(
    ("sources", "out", "shards", "error", "told"),
    [
        ([], "out", 1, ReadError, "found none"),
        (["-"], "out", 1, ReadError, "not standard input"),
        (3, "out", 1, ReadError, "sources: expected paths or URLs, found int"),
        ([None], "out", 1, ReadError, "sources: expected paths or URLs, found NoneType"),
        (["nowhere"], "out", 1, ReadError, "nowhere"),
        (["nosuch://x"], "out", 1, StoreError, "Protocol not known"),
        (["a.txt"], "", 1, StoreError, "expected a folder or URL"),
        (["a.txt"], "nosuch://x", 1, StoreError, "Protocol not known"),
        (["a.txt"], "a.txt", 1, StoreError, "a.txt"),
        (["a.txt"], "out", 0, StoreError, "shards: expected"),
        (["a.txt"], "out", True, StoreError, "shards: expected"),
        (["memory://nothing/here"], "out", 1, FemtosearchError, "nothing/here"),
    ],
)
def test_what_cannot_be_built_is_told(tmp_path, monkeypatch, sources, out, shards, error, told):
    pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a flow")
    with pytest.raises(error, match=told):
        build(sources, out, shards=shards, address="here", model="femto")
    assert not list(tmp_path.glob("out/manifest.json"))


def test_urls_of_this_machine_are_paths(tmp_path, monkeypatch):
    assert local_path("file:///notes/a") == "/notes/a" and local_path("s3://b/c") == "s3://b/c"
    assert storage_at(f"file://{tmp_path}").place == str(tmp_path)
    monkeypatch.setattr(os, "path", ntpath)
    assert local_path("file:///C:/notes") == "C:/notes"


def test_a_parent_that_may_not_be_read_is_enough(tmp_path, monkeypatch):
    sync = system.sync_folder

    def refuse(path):
        if os.path.samefile(path, tmp_path):
            raise PermissionError(13, "Permission denied", str(path))
        sync(path)

    monkeypatch.setattr(system, "sync_folder", refuse)
    storage_at(tmp_path / "out").write("deep/er/file", b"x")
    assert (tmp_path / "out" / "deep" / "er" / "file").read_bytes() == b"x"


def test_memory_is_read_and_written(corpus, single):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/texts/a.jsonl", (corpus / "a.jsonl").read_bytes())
    memory.pipe_file("/texts/b.jsonl", (corpus / "b.jsonl").read_bytes())
    memory.pipe_file("/texts/picture.png", b"\x89PNG")
    build(["memory://texts"], "memory://made/out", shards=2, model="femto")
    with Cluster("memory://made/out", model="femto") as cluster:
        assert cluster.search("heat transfer", k=9) == single.search("heat transfer", k=9)
    memory.rm("/made", recursive=True)


def test_urls_of_several_links_are_read(corpus, tmp_path, single):
    """A file in an archive, wherever that is."""
    pytest.importorskip("fsspec")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(corpus / "a.jsonl", "in/a.jsonl")
        archive.write(corpus / "b.jsonl", "in/b.jsonl")
    for source in ("zip://in::", "zip://in/*.jsonl::file://"):
        made = build(
            [f"{source}{tmp_path / 'a.zip'}"], tmp_path / "out", shards=1, address="here", model="femto"
        )
        assert made.manifest.documents == len(single)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_http_is_read(corpus, tmp_path):
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    served = functools.partial(_Quiet, directory=str(corpus))
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.jsonl"
        made = build([url], tmp_path / "out", shards=1, address="here", model="femto")
        server.shutdown()
    assert made.manifest.documents == 60


def test_what_is_in_memory_is_built_in_this_process(tmp_path):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe_file("/own/a.txt", b"a flow")
    assert build("memory://own", tmp_path / "out", shards=1, model="femto").manifest.documents == 1
    memory.rm("/own", recursive=True)


def test_names_of_objects_may_be_no_names_of_files():
    """Neither their length nor their characters; and what is wrong in one is told by its URL."""
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for name in ("n" * 300 + ".txt", "a:b?.txt", "e f#%20.txt", "z.txt.gz"):
        text = b"a flow"
        memory.pipe_file(f"/odd/{name}", gzip.compress(text) if name.endswith(".gz") else text)
    memory.pipe_file("/odd/a.jsonl", b'{"text": "heat"}\nno JSON\n')
    made = build(["memory://odd"], "memory://made/odd", shards=2, model="femto")
    assert made.manifest.documents == 5
    assert [fault.where for fault in made.skipped] == ["memory://odd/a.jsonl:2"]
    with pytest.raises(ReadError, match=r"^memory://odd/a\.jsonl:2: .*--keep-going"):
        build(["memory://odd/a.jsonl"], "memory://made/odd", shards=2, model="femto")
    kept = Options(keep_going=True)
    assert build(["memory://odd/a.jsonl"], "memory://made/o", shards=1, model="femto", options=kept).skipped
    for name in ("odd", "made"):
        memory.rm(f"/{name}", recursive=True)


def test_a_copy_of_a_bucket_that_was_damaged_is_made_again(corpus, single, tmp_path, monkeypatch):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setenv("FEMTOSEARCH_CACHE", str(tmp_path))
    build([corpus], "memory://made/again", shards=1, model="femto")
    Cluster("memory://made/again").close()
    [copy] = tmp_path.glob("femtosearch-shards/*/segments/*.seg")
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(MissingShardsError, match="another size"):
        Cluster("memory://made/again")
    with Cluster("memory://made/again") as cluster:
        assert len(cluster) == len(single)
    memory.rm("/made", recursive=True)


def test_copies_of_a_bucket_are_the_users_own(corpus, tmp_path, monkeypatch):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.delenv("FEMTOSEARCH_CACHE", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    build([corpus], "memory://made/own", shards=1, model="femto")
    Cluster("memory://made/own").close()
    [folder] = tmp_path.glob("femtosearch-shards*")
    assert folder.stat().st_mode & 0o022 == 0
    folder.chmod(0o777)
    with pytest.raises(MissingShardsError, match=r"cannot be copied to .*others may write to it"):
        Cluster("memory://made/own", patience=Patience(timeout=0.2))
    memory.rm("/made", recursive=True)


@pytest.mark.skipif(not system.HAS_FLOCK, reason="needs locks")
def test_a_shard_is_copied_once_and_goes_when_nobody_uses_it(corpus, tmp_path, monkeypatch, single):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setenv("FEMTOSEARCH_CACHE", str(tmp_path / "cache"))
    fetched, fetch = [], Bucket.fetch

    def slowly(self, name, path):
        fetched.append(name)
        fetch(self, name, path)
        time.sleep(0.05)

    monkeypatch.setattr(Bucket, "fetch", slowly)
    for shards in (1, 2, 3):
        build([corpus], f"memory://made/n{shards}", shards=shards, model="femto")
    fetched.clear()
    copies = tmp_path / "cache" / "femtosearch-shards"
    with Cluster("memory://made/n1", replicas=4, patience=Patience(hedge=0.001)) as first:
        assert first.search("flutter") == single.search("flutter")
        assert sorted(name.rpartition(".")[2] for name in fetched) == ["db", "seg"]
        with Cluster("memory://made/n2") as second:
            assert len(second) == len(single)
        for lock in copies.glob("*.lock"):
            os.utime(lock, (1, 1))
        with Cluster("memory://made/n3"):
            kept = {
                path.name for path in (tmp_path / "cache" / "femtosearch-shards").iterdir() if path.is_dir()
            }
        assert len(kept) == 4
        assert first.search("flutter") == single.search("flutter")
    memory.rm("/made", recursive=True)


@pytest.mark.skipif(not system.HAS_FLOCK, reason="needs locks")
def test_copies_of_one_shard_on_a_node_do_not_wait_for_each_other(corpus, tmp_path, monkeypatch, single):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setenv("FEMTOSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(holder, "_LONGEST_COPY", 0.2)
    replicas, hold = [], Here.hold

    def held(self, place, copy):
        replicas.append(hold(self, place, copy))
        return replicas[-1]

    monkeypatch.setattr(Here, "hold", held)
    build([corpus], "memory://made/one", shards=1, model="femto")
    with Cluster("memory://made/one", replicas=3) as cluster:
        assert [replica.ask("count", None).result(20) for replica in replicas[:2]] == [len(single)] * 2
        [copy] = [path for path in (tmp_path / "cache" / "femtosearch-shards").iterdir() if path.is_dir()]
        shutil.rmtree(copy)  # which the two still use
        assert replicas[2].ask("count", None).result(20) == len(single) and copy.is_dir()
        assert cluster.search("flutter") == single.search("flutter")
    memory.rm("/made", recursive=True)


def test_more_shards_than_files_may_be_open(corpus, single, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "_BUFFER", 500)
    [portion] = portions.portions_of([corpus], Options(), storage_at(tmp_path))
    assert building.divide(str(tmp_path), "spool", portion, 5000) == []
    counts = json.loads((tmp_path / "spool" / "ready.json").read_text())
    assert (len(counts), sum(counts)) == (5000, 100)
    assert len(list((tmp_path / "spool").glob("*.jsonl.gz"))) == sum(count > 0 for count in counts)


def test_a_copied_index_is_served(built, tmp_path, single):
    shutil.copytree(built, tmp_path / "copy")
    with Cluster(tmp_path / "copy", address="here", model="femto") as cluster:
        assert len(cluster) == len(single)
