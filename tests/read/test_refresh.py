"""An index kept like its files: nothing lost, nothing twice, nothing stale."""

import os
import shutil

import pytest

from femtosearch.errors import ReadError
from femtosearch.index.index import Index
from femtosearch.read import Options, forget, refresh, steps

from ..fakes import FakeModel


class Counting(FakeModel):
    """A model that counts the texts it encodes."""

    encoded = 0

    def encode_passages(self, texts):
        self.encoded += len(texts)
        return super().encode_passages(texts)


@pytest.fixture
def index():
    with Index(model=Counting()) as index:
        yield index


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.utime(path, ns=(1, 1 + path.stat().st_size))  # long ago
    return path


def contents(index):
    return {document.id: document.text for document in index}


# Ids and sources


def test_two_folders_with_one_name(here, index):
    write(here / "pa" / "README.md", "apples")
    write(here / "pb" / "README.md", "bananas")
    refresh(index, ["pa"])
    report = refresh(index, ["pb"])
    assert contents(index) == {"README.md": "apples", "pb/README.md": "bananas"}
    [told] = report.repeated
    assert told.where == "pb/README.md" and "'README.md' is that of pa/README.md" in told.reason
    write(here / "q" / "README.md", "cherries")
    with pytest.raises(ReadError, match=r"q/README.md: expected another id than 'README.md', which pa/"):
        refresh(index, ["q"], options=Options(strict=True))


def test_two_tables_that_count_from_one(here, index):
    write(here / "d" / "a.csv", "id,text\n1,apples\n2,pears\n3,plums\n")
    write(here / "d" / "b.csv", "id,text\n1,hammers\n2,nails\n")
    report = refresh(index, ["d"])
    assert len(index) == 5 and report.stored == 5
    assert index.get("1").text == "apples" and index.get("b.csv#1").text == "hammers"
    assert [told.where for told in report.repeated] == ["d/b.csv:2", "d/b.csv:3"]
    assert "that of d/a.csv:2; kept as 'b.csv#1'" in report.repeated[0].reason
    with pytest.raises(ReadError, match=r"d/b.csv:2: expected another id than '1', which d/a.csv:2 has"):
        refresh(Index(model=FakeModel()), ["d"], options=Options(strict=True))


def test_one_id_twice_and_a_number_beside_its_digits(here, index):
    write(here / "a.jsonl", '{"id": 1, "text": "x"}\n{"id": "1", "text": "y"}\n{"id": "1", "text": "z"}\n')
    report = refresh(index, ["a.jsonl"])
    assert sorted(contents(index).values()) == ["x", "y", "z"] and len(report.repeated) == 2
    before = contents(index)
    refresh(index, ["a.jsonl"])
    assert contents(index) == before


def test_a_record_with_the_name_of_a_file(here, index):
    write(here / "d" / "1.txt", "a file")
    write(here / "d" / "a.jsonl", '{"id": "1.txt", "text": "a record"}\n')
    refresh(index, ["d"])
    assert sorted(contents(index).values()) == ["a file", "a record"]


def test_one_file_however_it_is_spelled(here, index):
    write(here / "nest" / "sub" / "a.md", "a")
    write(here / "nest" / "soup.md", "soup")
    (here / "nest" / "latest.md").symlink_to("soup.md")
    os.link(here / "nest" / "soup.md", here / "nest" / "zuppa.md")
    for paths in (["nest", "nest/sub"], ["nest/sub"], ["nest/sub/a.md"], [here / "nest"], ["."]):
        refresh(index, paths)
        assert contents(index) == {"soup.md": "soup", "sub/a.md": "a"}


def test_file_names_that_are_not_utf8_are_kept_apart(here, index):
    for name in (b"caf\xe9.txt", b"caf\xe8.txt"):
        try:
            with open(os.fsencode(here) + b"/" + name, "wb") as file:
                file.write(name[3:4].hex().encode())
        except OSError:
            pytest.skip("a file system that wants names in UTF-8 cannot hold such files")
    refresh(index, ["."])
    assert sorted(contents(index).values()) == ["e8", "e9"]
    refresh(index, ["."])
    assert len(index) == 2


# Again


def test_what_did_not_change_is_not_read(here, index, monkeypatch):
    for n in range(20):
        write(here / "d" / f"{n}.txt", f"text {n}")
    refresh(index, ["d"])
    index.model.encoded = 0
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a file was opened"))
    report = refresh(index, ["d"])
    assert (report.files, report.files_unchanged, report.stored, report.unchanged) == (0, 20, 0, 20)
    assert index.model.encoded == 0 and report.documents == 20


def test_a_touched_file_is_not_encoded_and_a_changed_one_is(here, index):
    path = write(here / "d" / "a.txt", "one")
    write(here / "d" / "b.txt", "two")
    refresh(index, ["d"])
    os.utime(path, ns=(5, 5))
    index.model.encoded = 0
    assert refresh(index, ["d"]).files == 0 and index.model.encoded == 0
    write(path, "three")
    report = refresh(index)
    assert (report.files, report.stored, index.model.encoded) == (1, 1, 1)
    assert contents(index) == {"b.txt": "two", "a.txt": "three"}
    assert index.stats().dead_passages == 1


def test_a_change_that_keeps_size_and_time_is_seen(here, index):
    path = write(here / "a.txt", "one")
    refresh(index, ["a.txt"])
    path.write_text("two")
    os.utime(path, ns=(1, 4))  # the time of its inode tells
    refresh(index, ["a.txt"])
    assert contents(index) == {"a.txt": "two"}


@pytest.mark.parametrize("other", ["other", "longer"])
def test_a_file_that_changes_while_it_is_read_is_read_again(here, index, monkeypatch, other):
    """The digest is of what was read: else a file that is as it was before would never be read again."""
    path, digest_of, changes = write(here / "a.txt", "first"), steps.digest_of, [other]

    def changed(file):
        digest = digest_of(file)
        if changes:
            path.write_text(changes.pop())
        return digest

    monkeypatch.setattr(steps, "digest_of", changed)
    refresh(index, ["a.txt"])
    assert contents(index) == {"a.txt": other}
    path.write_text("first")
    refresh(index, ["a.txt"])
    assert contents(index) == {"a.txt": "first"}


def test_what_vanished_goes(here, index):
    write(here / "d" / "ghost.md", "ghost ship")
    write(here / "d" / "moved.md", "moved")
    table = write(here / "d" / "s.jsonl", '{"text": "a"}\n{"text": "bananas"}\n{"text": "c"}\n')
    refresh(index, ["d"])
    os.unlink(here / "d" / "ghost.md")
    os.rename(here / "d" / "moved.md", here / "d" / "new.md")
    write(table, '{"text": "c"}\n')
    report = refresh(index)
    assert contents(index) == {"new.md": "moved", "s.jsonl:1": "c"}
    assert (report.removed, report.files_removed) == (4, 2)


def test_what_vanished_goes_though_a_link_led_to_it(here, index):
    write(here / "d" / "a.md", "a")
    write(here / "disk" / "folder" / "b.md", "b")
    (here / "d" / "latest.md").symlink_to("a.md")
    (here / "d" / "far").symlink_to(here / "disk" / "folder")
    refresh(index, ["d"])
    os.unlink(here / "d" / "a.md")
    os.rename(here / "disk", here / "unmounted")
    assert refresh(index).files_removed == 1 and set(contents(index).values()) == {"b"}


def test_what_vanished_can_be_kept(here, index):
    write(here / "d" / "a.md", "a")
    table = write(here / "d" / "s.csv", "id,text\n1,x\n2,y\n")
    refresh(index, ["d"])
    os.unlink(here / "d" / "a.md")
    write(table, "id,text\n2,y\n")
    assert refresh(index, ["d"], prune=False).removed == 0
    assert len(index) == 3


def test_one_row_of_a_table(here, index):
    rows = [f"{n},row {n}" for n in range(50)]
    path = write(here / "t.csv", "\n".join(["id,text", *rows]))
    refresh(index, [path])
    index.model.encoded = 0
    rows[7] = "7,changed"
    write(path, "\n".join(["id,text", *rows]))
    report = refresh(index, [path])
    assert (report.stored, report.unchanged, index.model.encoded) == (1, 49, 1)


def test_a_folder_that_cannot_be_looked_into_keeps_its_documents(here, index, monkeypatch):
    write(here / "d" / "sub" / "a.md", "a")
    refresh(index, ["d"])
    scandir = os.scandir

    def refused(path):
        if os.fspath(path).endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    report = refresh(index, ["d"])
    assert len(index) == 1 and "cannot be listed" in report.skipped[0].reason


def test_a_source_that_is_not_there(here, index):
    write(here / "d" / "a.md", "a")
    write(here / "e" / "b.md", "b")
    write(here / "c.md", "c")
    refresh(index, ["d", "e", "c.md"])
    shutil.rmtree(here / "d")
    os.unlink(here / "c.md")
    report = refresh(index)
    assert report.missing == [str(here / "d")]  # which may be on a disk that is not there
    assert contents(index) == {"a.md": "a", "b.md": "b"}
    assert forget(index, "d").removed == 1
    assert [source.path for source in index.sources()] == [str(here / "e")]
    with pytest.raises(ReadError, match="expected a source of the index, found"):
        forget(index, "d")


@pytest.mark.parametrize("order", [["d", "d/sub"], ["d/sub", "d"]])
@pytest.mark.parametrize("forgotten, left", [("d/sub", {"a", "b"}), ("d", {"b"})])
def test_documents_stay_where_another_source_leads_to_them(here, index, order, forgotten, left):
    write(here / "d" / "a.md", "a")
    write(here / "d" / "sub" / "b.md", "b")
    for source in order:
        refresh(index, [source])
    forget(index, forgotten)
    assert set(contents(index).values()) == left
    refresh(index)
    assert set(contents(index).values()) == left
    os.unlink(here / "d" / "sub" / "b.md")
    assert refresh(index).removed == 1


def test_many_files_that_were_named(here, index):
    names = [write(here / f"{n}.txt", f"text {n}").name for n in range(50)]
    refresh(index, names)
    os.unlink(here / "7.txt")
    write(here / "8.txt", "changed")
    report = refresh(index)
    assert (report.stored, report.unchanged, report.files_removed) == (1, 48, 1)
    assert len(index) == 49 and len(index.sources()) == 49
    assert index.get("8.txt").metadata == {"path": "8.txt"}


def test_a_source_is_read_as_before(here, index):
    write(here / "d" / "a.csv", "key;body\n1;one\n")
    write(here / "d" / "b.txt", "two")
    refresh(index, ["d"], options=Options(text_column="body", id_column="key", include=("*.csv",)))
    write(here / "d" / "a.csv", "key;body\n1;another\n")
    refresh(index)
    assert contents(index) == {"1": "another"}


def test_other_options_read_again(here, index):
    write(here / "a.txt", "caf\u00e9".encode("cp1250"))
    refresh(index, ["a.txt"], options=Options(encoding="cp437"))
    refresh(index, ["a.txt"], options=Options(encoding="cp1250"))
    assert contents(index) == {"a.txt": "caf\u00e9"}


def test_faults_are_told_each_time(here, index):
    write(here / "d" / "a.jsonl", '{"text": "good"}\nno\n')
    for _ in range(2):
        assert [fault.where for fault in refresh(index, ["d"]).skipped] == ["d/a.jsonl:2"]
    assert len(index) == 1


def test_a_file_that_cannot_be_read_keeps_its_documents(here, index, monkeypatch):
    path = write(here / "d" / "a.txt", "old")
    refresh(index, ["d"])
    write(path, "newer")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("femtosearch.read.content.open", refused, raising=False)
    report = refresh(index, ["d"])
    assert contents(index) == {"a.txt": "old"}
    assert "cannot be read: Permission denied" in report.skipped[0].reason


def test_a_text_that_becomes_a_binary_goes(here, index):
    path = write(here / "d" / "a.txt", "old")
    refresh(index, ["d"])
    write(path, bytes(range(256)))
    assert "control characters" in refresh(index, ["d"]).skipped[0].reason
    assert len(index) == 0


def test_standard_input_is_added_and_never_pruned(index, stdin):
    stdin(b"one\ntwo\n")
    refresh(index, ["-"])
    stdin(b"three\ntwo\n")
    report = refresh(index, ["-"])
    assert (report.stored, report.unchanged, len(index)) == (1, 1, 3)
    assert refresh(index).documents == 0 and len(index) == 3


def test_one_refused_record_loses_no_other(here, index):
    good = "".join(f'{{"id": "{n}", "text": "t{n}"}}\n' for n in range(20))
    deep = '{"id": "d", "text": "x", "m": ' + '{"a": ' * 150 + "1" + "}" * 150 + "}\n"
    write(here / "d" / "a.jsonl", good + '{"id": "n", "text": "x", "n": 1e400}\n' + deep)
    write(here / "d" / "n.md", "note")
    report = refresh(index, ["d"])
    assert len(index) == 21
    assert [fault.where for fault in report.skipped] == ["d/a.jsonl:21", "d/a.jsonl:22"]
    assert "inf is not JSON" in report.skipped[0].reason and "nested deeper" in report.skipped[1].reason


def test_a_file_over_several_commits(here, index, monkeypatch):
    monkeypatch.setattr(steps, "COMMIT_DOCUMENTS", 3)
    write(here / "a.csv", "id,text\n" + "".join(f"{n},row {n}\n" for n in range(10)))
    assert refresh(index, ["a.csv"]).stored == 10
    write(here / "a.csv", "id,text\n" + "".join(f"{n},new {n}\n" for n in range(8)))
    report = refresh(index, ["a.csv"])
    assert (report.stored, report.removed, len(index)) == (8, 2, 8)


def test_progress(here, index):
    for n in range(4):
        write(here / "d" / f"{n}.txt", "x" * 100)
    calls = []
    refresh(index, ["d"], progress=lambda *told: calls.append(told))
    assert calls[-1] == (4, 1.0)
