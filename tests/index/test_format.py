"""Every released version of the format is opened, searched and written to, for ever: golden/make_index.py."""

import json
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from femtosearch.codes import Order, in_order, quantise
from femtosearch.errors import FdeMismatchError, QueryError
from femtosearch.fde import Muvera
from femtosearch.index import schema, segment_header
from femtosearch.index.index import Index
from femtosearch.index.segment import Segment
from femtosearch.index.stats import describe
from femtosearch.types import Document, Passages, Rows

HERE = Path(__file__).resolve().parents[1]
GOLDEN = HERE / "golden" / "index"
PAGE = HERE.parent / "docs" / "format.md"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir() and path.name.startswith("v"))


class Recorded:
    """A model that knows one query's rows, and gives every text the same."""

    def __init__(self, expected: dict) -> None:
        self.name, self.fingerprint = expected["model"]["name"], expected["model"]["fingerprint"]
        self.dims = expected["model"]["dims"]
        self.rows = np.array(expected["query"], np.float32)

    def encode_queries(self, texts: list[str]) -> Rows:
        count = len(texts)
        return Rows(np.tile(self.rows, (count, 1)), np.arange(count + 1, dtype=np.int64) * len(self.rows))

    def encode_passages(self, texts: list[str]) -> Passages:
        spans = np.array([[0, len(text)] for text in texts], np.int64)
        return Passages(self.encode_queries(texts), np.arange(len(texts), dtype=np.int64), spans)


@pytest.fixture(params=VERSIONS)
def golden(request, tmp_path) -> tuple[Path, dict]:
    """A copy of a golden index, and what it holds."""
    shutil.copytree(GOLDEN / request.param / "index", tmp_path / "index")
    expected = json.loads((GOLDEN / request.param / "expected.json").read_text())
    return tmp_path / "index", {**expected, "layout": int(request.param[1:].split("-")[0])}


def check(index: Index, expected: dict) -> None:
    for mode, wanted in (("maxsim", expected["hits"]), ("fde", expected.get("by_fde"))):
        if wanted is None:
            with pytest.raises(QueryError, match="'fde' needs an FDE and this index has none"):
                index.search("any", mode=mode)
            continue
        hits = index.search("any", k=99, mode=mode)
        assert [[hit.id, list(hit.passage or ())] for hit in hits] == [[i, span] for i, _, span in wanted]
        np.testing.assert_allclose([hit.score for hit in hits], [score for _, score, _ in wanted], atol=1e-5)
    for document in expected["documents"]:
        assert index.get(document[0]) == Document(*document)
    assert len(index) == len(expected["documents"]) and index.get("deleted") is None


def test_it_is_found_as_it_was(golden):
    folder, expected = golden
    for path in (folder / "segments").iterdir():
        Segment.open(path).verify()
    assert describe(folder).dead_passages == 2
    with Index(folder, model=Recorded(expected)) as index:
        check(index, expected)


def test_it_can_be_written_to(golden):
    folder, expected = golden
    with Index(folder, model=Recorded(expected)) as index:
        index.add([{"id": "new", "text": "word"}])
        assert index.search("any", k=1)[0].id == "new"
        index.delete("new")
        index.compact()
        assert index.stats().dead_passages == 0
        check(index, expected)
    segments = [Segment.open(path) for path in (folder / "segments").iterdir()]
    split = expected["layout"] >= 4  # older readers have to know what is written to an older index
    assert all((segment.widths.order == Order.SPLIT) == split for segment in segments if segment.fde)


def test_an_older_index_that_had_words_meanwhile_is_read_by_older_readers(golden):
    folder, expected = golden
    with Index(folder, model=Recorded(expected)) as index:
        had_words = index._snapshots.take().has_words
        index.set_words()
        index.add([{"id": "new", "text": "word"}])
        index.set_words(had_words)
        index.delete("new")
        check(index, expected)
    versions = [Segment.open(path).widths for path in (folder / "segments").iterdir()]
    if expected["layout"] < 4:
        assert {widths.order for widths in versions} == {Order.SLICES}


def decoded_by_the_page(section: bytes, count: int, dims: int, bits: int) -> np.ndarray:
    """Codes of FDEs that are split, by the words of docs/format.md."""
    per, width = 8 // bits, -(-dims * bits // 32)
    head = min(width, 16 * bits // 4)
    others = -(-count // 16) * 64 * head
    found = np.zeros((count, dims), np.int64)
    for n in range(count):
        for f in range(dims):
            if f < 128:
                at = ((n // 16 * head + f // (4 * per)) * 16 + n % 16) * 4 + f % 4
            else:
                at = others + (n * (width - head) + f // (4 * per) - head) * 4 + f % 4
            byte = section[at]
            found[n, f] = byte >> f % (4 * per) // 4 * bits & (1 << bits) - 1
    return found


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("dims", [1, 64, 128, 129, 200, 600])
def test_the_page_is_enough_to_read_split_fdes(dims, bits):
    drawn = np.random.default_rng(dims).standard_normal((37, dims)).astype(np.float32)
    codes = quantise(drawn, bits)
    section = b"".join(run.tobytes() for run in in_order([codes.blocks], bits, Order.SPLIT))
    found = decoded_by_the_page(section, 37, dims, bits)
    values = found.astype(np.uint8).view(np.int8) if bits == 8 else found - ((1 << bits) - 1) / 2
    np.testing.assert_array_equal((values * codes.scales[:37, None]).astype(np.float32), codes.rows())


def test_a_compaction_splits_what_was_sliced(tmp_path):
    shutil.copytree(GOLDEN / "v4" / "index", tmp_path / "index")
    expected = json.loads((GOLDEN / "v4" / "expected.json").read_text())
    with Index(tmp_path / "index", model=Recorded(expected)) as index:
        index.compact()
        check(index, expected)
        names = [path.name for path in (tmp_path / "index" / "segments").iterdir()]
        index.compact()  # which has nothing to do any more
    opened = [Segment.open(path) for path in (tmp_path / "index" / "segments").iterdir()]
    assert [Path(segment.name).name for segment in opened] == names
    assert {segment.widths.order for segment in opened} == {Order.SPLIT}


def test_it_can_be_given_an_fde(golden):
    folder, expected = golden
    fde = Muvera(2, 2, 3)
    with pytest.raises(FdeMismatchError, match="replace it with set_fde"):
        Index(folder, model=Recorded(expected), fde=fde)
    with Index(folder, model=Recorded(expected)) as index:
        index.set_fde(fde)
    with Index(folder, model=Recorded(expected), fde=fde) as index:
        assert len(index.search("any", k=99, mode="fde")) == len(expected["hits"])
        index.set_fde(None)
        check(index, {**expected, "by_fde": None})
        assert index.stats().format_version == (expected["layout"] if expected["layout"] > 2 else 1)


@pytest.fixture(params=sorted(path.name for path in GOLDEN.glob("release-*")))
def release(request, tmp_path) -> tuple[Path, dict]:
    """A copy of the golden index of a release (golden/make_release.py), and what it holds."""
    shutil.copytree(GOLDEN / request.param / "index", tmp_path / "index")
    return tmp_path / "index", json.loads((GOLDEN / request.param / "expected.json").read_text())


def test_the_index_of_a_release_is_found_as_it_was(release):
    folder, expected = release
    with Index(folder, model=Recorded(expected)) as index:
        assert index.verify() == []
        for how, wanted in expected["hits"]:
            hits = index.search("words of the night", k=99, **how)
            places = [
                [hit.id, *map(listed, (hit.passage, hit.lines)), hit.row, list(hit.heading)] for hit in hits
            ]
            assert places == [[name, *place] for name, _, *place in wanted]
            np.testing.assert_allclose(
                [hit.score for hit in hits], [score for _, score, *_ in wanted], atol=1e-5
            )
        stored = [[document.id, document.text, document.metadata] for document in index.documents()]
        assert sorted(stored) == expected["documents"]


def test_the_index_of_a_release_can_be_written_to(release):
    folder, expected = release
    with Index(folder, model=Recorded(expected)) as index:
        index.add([{"id": "new", "text": "zebra", "tags": ["zoo"]}])
        assert (
            index.search('"zebra"', k=1)[0].id == "new" and index.count({"tags": {"$contains": "zoo"}}) == 1
        )
        index.delete("new")
        index.compact()
        assert index.stats().dead_passages == 0 and index.verify() == []
        assert len(index) == len(expected["documents"])


def listed(pair: tuple[int, int] | None) -> list[int] | None:
    return None if pair is None else list(pair)


def test_words_in_plain_letters_stay_where_they_were(tmp_path):
    shutil.copytree(GOLDEN / "v4-4-plain" / "index", tmp_path / "index")
    expected = json.loads((GOLDEN / "v4-4-plain" / "expected.json").read_text())
    with Index(tmp_path / "index", model=Recorded(expected)) as index:
        assert index.verify() == []
        for query in ("financial", "office", "Lodz", "of\ufb01ce"):
            assert [hit.id for hit in index.search(query, hybrid=1)] == ["typeset"]
        index.delete("typeset")
        assert index.search("office", hybrid=1) == [] and index.verify() == []


def test_the_current_version_is_among_them():
    assert f"v{schema.NEWEST}-{segment_header.VERSION}" in VERSIONS


def test_the_page_states_what_the_code_does():
    page = PAGE.read_text()
    header = re.findall(r"^\| (\d+) \| (\d+) \| ", page.split("## Header")[1].split("##")[0], re.MULTILINE)
    ends = [int(offset) + int(size) for offset, size in header]
    assert [int(offset) for offset, _ in header] == [0, *ends[:-1]]
    assert ends[-1] == segment_header.HEADER.size == 64
    entry = re.findall(
        r"^\| (\d+) \| (\d+) \| ", page.split("## Section table")[1].split("##")[0], re.MULTILINE
    )
    assert sum(int(size) for _, size in entry) == segment_header.SECTION.size == 32
    for kind in segment_header._KNOWN + segment_header._FDE:
        assert f"`{kind.decode()}`" in page
    assert segment_header.MAGIC.hex(" ") in page


def decoded(data: bytes, codes: int, scales: int, count: int, dims: int) -> np.ndarray:
    found = np.zeros((count, dims), np.float32)
    groups = (dims + 3) // 4
    for t in range(count):
        (scale,) = struct.unpack_from("<f", data, scales + 4 * t)
        for d in range(dims):
            at = ((t // 16 * groups + d // 4) * 16 + t % 16) * 4 + d % 4
            found[t, d] = np.float32(struct.unpack_from("<b", data, codes + at)[0]) * np.float32(scale)
    return found


def decoded_split(data: bytes, codes: int, scales: int, count: int, dims: int) -> np.ndarray:
    first = decoded(data, codes, scales, count, 128)
    groups = (dims + 3) // 4
    others = codes + (count + 15) // 16 * 32 * 64
    found = np.zeros((count, dims), np.float32)
    for t in range(count):
        (scale,) = struct.unpack_from("<f", data, scales + 4 * t)
        found[t, :128] = first[t]
        for d in range(128, dims):
            at = (t * (groups - 32) + d // 4 - 32) * 4 + d % 4
            found[t, d] = np.float32(struct.unpack_from("<b", data, others + at)[0]) * np.float32(scale)
    return found


def test_the_page_is_enough_to_read_a_segment(golden):
    """The rows of a golden segment, by the words of docs/format.md alone and plain Python."""
    folder, _ = golden
    path = folder / "segments" / "1.seg"
    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data, 12)
    passages, rows = struct.unpack_from("<QQ", data, 16)
    dims, fde_dims = struct.unpack_from("<II", data, 32)
    places = {}
    for n in range(count):
        kind, _, offset, _, _, _ = struct.unpack_from("<4sIQQII", data, 64 + 32 * n)
        places[kind] = offset
    opened = Segment.open(path)
    (version,) = struct.unpack_from("<I", data, 8)
    found = decoded(data, places[b"CODE"], places[b"SCAL"], rows, dims)
    np.testing.assert_array_equal(found, opened.codes.rows())
    if fde_dims:
        read = decoded if version < 4 else decoded_split
        found = read(data, places[b"FDEC"], places[b"FDES"], passages, fde_dims)
        np.testing.assert_array_equal(found, opened.fde.rows())
    assert list(struct.unpack_from(f"<{passages + 1}q", data, places[b"STRT"])) == opened.starts.tolist()
    assert list(struct.unpack_from(f"<{passages}q", data, places[b"KEYS"])) == opened.keys.tolist()
    assert (
        list(struct.unpack_from(f"<{2 * passages}i", data, places[b"SPAN"])) == opened.spans.ravel().tolist()
    )
