"""Damage that a search does not see is found when it is looked for."""

import sqlite3
import struct
from contextlib import closing

import numpy as np
import pytest

from femtosearch import CorruptError, Index
from femtosearch.fde import Muvera
from femtosearch.index.segment import Segment

from ..fakes import FakeModel, fast_path

__all__ = ["fast_path"]

MODEL = FakeModel()


@pytest.fixture
def folder(fast_path):
    with Index(fast_path / "i", model=MODEL) as index:
        index.add([{"id": "a", "text": "word1 word2"}, {"id": "b", "text": "word3"}, {"id": "e", "text": ""}])
        index.add([{"id": "c\0d", "text": "nul\0 word4"}])
        index.delete("b")
        assert index.verify() == []
    return fast_path / "i"


def damage_of(folder):
    with Index(folder, model=MODEL) as index:
        return index.verify()


def section(path, kind):
    """Where a section of a segment begins, and its bytes."""
    content = path.read_bytes()
    for at in range(64, 64 + 32 * struct.unpack_from("<I", content, 12)[0], 32):
        name, _, offset, length, _, _ = struct.unpack_from("<4sIQQII", content, at)
        if name == kind:
            return offset, length
    raise AssertionError(f"no section {kind}")


def patch(path, offset, data):
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(content)


@pytest.mark.parametrize("kind", [b"CODE", b"SCAL", b"STRT", b"KEYS", b"SPAN"])
def test_a_flipped_bit_of_any_section(folder, kind):
    path = folder / "segments" / "1.seg"
    offset, _ = section(path, kind)
    patch(path, offset, bytes([path.read_bytes()[offset] ^ 4]))
    [damage] = damage_of(folder)
    assert "segment 1" in damage.place and "damaged" in damage.message


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("mode", ["maxsim", "auto"])
def test_a_scale_that_is_no_number_is_no_silence(folder, scale, mode):
    path = folder / "segments" / "1.seg"
    patch(path, section(path, b"SCAL")[0], struct.pack("<f", scale))
    with (
        Index(folder, model=MODEL) as index,
        pytest.raises(CorruptError, match="scale that is negative or not finite"),
    ):
        index.search("word1", mode=mode)
    assert len(damage_of(folder)) == 1


def test_scales_of_chosen_passages_alone(folder):
    path = folder / "segments" / "1.seg"
    patch(path, section(path, b"SCAL")[0] + 8, struct.pack("<f", np.nan))  # of the second passage's row
    segment = Segment.open(path)
    segment.check_scales(np.array([0]))
    with pytest.raises(CorruptError):
        segment.check_scales(np.array([0, 1]))


@pytest.mark.parametrize(
    "statement, says",
    [
        ("UPDATE documents SET text = 'word1 wordX' WHERE id = 'a'", "document 'a' is damaged"),
        ("UPDATE documents SET metadata = '{\"x\": 1}' WHERE id = 'a'", "document 'a' is damaged"),
        ("UPDATE documents SET id = 'z' WHERE id = 'a'", "document 'z' is damaged"),
        ("DELETE FROM documents WHERE id = 'a'", "a document that is not in the catalog"),
        ("INSERT INTO dead SELECT key FROM documents WHERE id = 'a'", "is there and counted as deleted"),
        ("DELETE FROM dead", "a document that is not in the catalog"),
        ("UPDATE segments SET checksum = 5 WHERE number = 1", "the catalogue names"),
    ],
)
def test_a_catalogue_that_does_not_agree(folder, statement, says):
    connection = sqlite3.connect(folder / "catalog.db")
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert any(says in damage.message for damage in damage_of(folder))


def test_a_changed_text_is_not_returned(folder):
    connection = sqlite3.connect(folder / "catalog.db")
    connection.execute("UPDATE documents SET text = 'word1 wordX' WHERE id = 'a'")
    connection.commit()
    connection.close()
    with Index(folder, model=MODEL) as index:
        for call in (lambda: index.get("a"), lambda: index.search("word1"), lambda: list(index)):
            with pytest.raises(CorruptError, match="document 'a' is damaged; add it again"):
                call()


def test_documents_that_come_again_and_again(tmp_path):
    """The tree of the table of documents has its first page in the place of every other one."""
    with Index(tmp_path / "i", model=MODEL) as index:
        index.add([{"id": f"{n}", "text": "word1 " * 300} for n in range(30)])
    path = tmp_path / "i" / "catalog.db"
    with closing(sqlite3.connect(path)) as connection:
        [(root,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'documents'")
        [(size,)] = connection.execute("PRAGMA page_size")
    data = bytearray(path.read_bytes())
    page = (root - 1) * size
    kind, cells = data[page], int.from_bytes(data[page + 3 : page + 5], "big")
    assert kind == 5 and cells > 1, "an interior page with pages below it"
    places = [page + int.from_bytes(data[page + 12 + 2 * n :][:2], "big") for n in range(cells)]
    for place in [*places[1:], page + 8]:
        data[place : place + 4] = data[places[0] : places[0] + 4]
    path.write_bytes(data)
    with Index(tmp_path / "i", model=MODEL) as index, pytest.raises(CorruptError, match="out of order"):
        list(index)
    assert any("out of order" in damage.message for damage in damage_of(tmp_path / "i"))


def test_a_segment_that_is_gone(folder):
    (folder / "segments" / "1.seg").unlink()
    assert any("missing" in damage.message for damage in damage_of(folder))


def test_segments_with_fdes_of_another_width(fast_path):
    """Each file is whole, and the catalogue names it; only the FDE of the index tells that it is foreign."""
    for name, fde in (("i", Muvera(2, 2, 4)), ("other", Muvera(2, 3, 4))):
        with Index(fast_path / name, model=MODEL, fde=fde) as index:
            index.add([{"id": "a", "text": "word1"}])
    (fast_path / "other" / "segments" / "1.seg").replace(fast_path / "i" / "segments" / "1.seg")
    connection = sqlite3.connect(fast_path / "i" / "catalog.db")
    connection.execute("ATTACH ? AS other", (str(fast_path / "other" / "catalog.db"),))
    connection.execute("DELETE FROM segments")
    connection.execute("INSERT INTO segments SELECT * FROM other.segments")
    connection.commit()
    connection.close()
    [damage] = damage_of(fast_path / "i")
    assert "the index has FDEs of" in damage.message


def test_a_scan_reads_the_scales_of_its_candidates_alone(fast_path):
    with Index(fast_path / "i", model=MODEL, fde=Muvera(2, 3, 6)) as index:
        index.add([{"id": f"{n}", "text": f"word{n}"} for n in range(50)])
        [best] = index.search("word7", k=1, mode="rerank", candidates=2)
    path = fast_path / "i" / "segments" / "1.seg"
    patch(path, section(path, b"SCAL")[0] + 4 * 30, struct.pack("<f", np.nan))  # the row of document 30
    with Index(fast_path / "i", model=MODEL) as index:
        assert index.search("word7", k=1, mode="rerank", candidates=2) == [best]
        with pytest.raises(CorruptError, match="scale that is negative or not finite"):
            index.search("word30", k=1, mode="rerank", candidates=2)
    patch(path, section(path, b"FDES")[0], struct.pack("<f", np.nan))
    with (
        Index(fast_path / "i", model=MODEL) as index,
        pytest.raises(CorruptError, match="scale that is negative"),
    ):
        index.search("word7", mode="fde")
