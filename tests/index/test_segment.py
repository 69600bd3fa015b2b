import io
import struct
import zlib
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest

from femtosearch.codes import Order, quantise
from femtosearch.errors import CorruptError, StoreError
from femtosearch.index import segment as segment_module
from femtosearch.index.batch import PassageBatch, RowCodes
from femtosearch.index.segment import Segment, SegmentWriter
from femtosearch.index.segment_header import MAGIC, REQUIRED, VERSION, Widths

from ..fakes import fast_path

__all__ = ["fast_path"]
SECTIONS = 5
TABLE = 64
ENTRY = 32


def make_part(seed: int, passages: int, dims: int, first_key: int = 1, fde_dims: int = 0) -> PassageBatch:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, passages)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = quantise(rng.standard_normal((int(starts[-1]), dims)).astype(np.float32))
    begin = rng.integers(0, 50, passages)
    spans = np.stack([begin, begin + rng.integers(0, 50, passages)], axis=1)
    keys = first_key + np.cumsum(rng.integers(0, 3, passages))
    fde = rng.standard_normal((passages, max(fde_dims, 1))).astype(np.float32)
    return PassageBatch(
        keys, starts, spans, RowCodes.of(codes), RowCodes.of(quantise(fde)) if fde_dims else None
    )


def write(
    parts: Iterable[PassageBatch], dims: int, fde_dims: int = 0, *, order: Order = Order.SLICES
) -> bytes:
    file, passages = io.BytesIO(), 0
    writer = SegmentWriter(file, Widths(dims, fde_dims, order=order))
    for part in parts:
        writer.append(part)
        passages += len(part.keys)
    summary = writer.finish()
    content = file.getvalue()
    assert summary.bytes == len(content)
    assert summary.passages == passages
    return content


def sealed(content: bytes) -> bytes:
    """The same file with a header checksum that fits: what a forger would write."""
    count = min(struct.unpack_from("<I", content, 12)[0], 64)
    head, table = content[:60], content[64 : 64 + count * ENTRY]
    return head + struct.pack("<I", zlib.crc32(head + table)) + content[64:]


def patched(content: bytes, at: int, form: str, value: object) -> bytes:
    data = bytearray(content)
    struct.pack_into(form, data, at, value)
    return bytes(data)


@pytest.fixture(scope="module")
def small() -> bytes:
    return write([make_part(3, 7, 5)], 5)


@pytest.fixture(scope="module")
def encoded() -> bytes:
    """One with FDEs."""
    return write([make_part(3, 19, 5, fde_dims=6)], 5, 6)


@pytest.mark.parametrize("dims", [1, 2, 4, 5, 13, 50])
@pytest.mark.parametrize("passages", [0, 1, 2, 5, 7, 13, 100])
def test_what_is_written_is_read(fast_path, passages, dims):
    part = make_part(passages * 100 + dims, passages, dims)
    path = fast_path / "1.seg"
    path.write_bytes(write([part], dims))
    segment = Segment.open(path)
    segment.verify()
    assert (segment.passages, segment.rows, segment.dims) == (passages, len(part.rows), dims)
    np.testing.assert_array_equal(segment.starts, part.starts)
    np.testing.assert_array_equal(segment.keys, part.keys)
    np.testing.assert_array_equal(segment.spans, part.spans)
    np.testing.assert_array_equal(RowCodes.of(segment.codes).values, part.rows.values)
    np.testing.assert_array_equal(segment.codes.scales[: segment.rows], part.rows.scales)
    assert not segment.codes.blocks.flags.writeable


@pytest.mark.parametrize("fde_dims", [1, 4, 6, 100])
@pytest.mark.parametrize("passages", [0, 1, 2, 15, 16, 17, 100])
def test_fdes_that_are_written_are_read(fast_path, passages, fde_dims):
    part = make_part(passages, passages, 5, fde_dims=fde_dims)
    path = fast_path / "1.seg"
    path.write_bytes(write([part], 5, fde_dims))
    segment = Segment.open(path)
    segment.verify()
    assert (segment.fde_dims, segment.fde.count, segment.fde.dims) == (fde_dims, passages, fde_dims)
    np.testing.assert_array_equal(RowCodes.of(segment.fde).values, part.fde.values)
    np.testing.assert_array_equal(segment.fde.scales[:passages], part.fde.scales)
    np.testing.assert_array_equal(RowCodes.of(segment.codes).values, part.rows.values)


@pytest.mark.parametrize("size", [16, 32, 64, 512])
@pytest.mark.parametrize("keep", [np.ones(60, bool), np.arange(60) % 3 != 1, np.zeros(60, bool)], ids=len)
def test_the_batches_of_a_segment_are_its_passages(size, keep, monkeypatch):
    monkeypatch.setattr(segment_module, "BATCH", size)
    content = write([make_part(1, 60, 6, fde_dims=5)], 6, 5)
    segment = Segment.read(content, "whole")
    batches = list(segment.batches(keep))
    assert len(batches) == -(-60 // size) and all(len(batch.keys) <= size for batch in batches)
    copy = Segment.read(write(batches, 6, 5), "copy")
    np.testing.assert_array_equal(copy.keys, segment.keys[keep])
    np.testing.assert_array_equal(copy.spans, segment.spans[keep])
    np.testing.assert_array_equal(np.diff(copy.starts), np.diff(segment.starts)[keep])
    for actual, expected in (
        (RowCodes.of(copy.codes), RowCodes.of(segment.codes)[np.repeat(keep, np.diff(segment.starts))]),
        (RowCodes.of(copy.fde), RowCodes.of(segment.fde)[keep]),
    ):
        np.testing.assert_array_equal(actual.values, expected.values)
        np.testing.assert_array_equal(actual.scales, expected.scales)
    if keep.all():
        assert write(batches, 6, 5) == content


@pytest.mark.parametrize("cuts", [(5,), (0, 1, 2, 50), (16, 32), tuple(range(60))])
def test_the_parts_do_not_show_in_the_file(cuts):
    whole = make_part(1, 60, 6)
    borders = [0, *cuts, 60]
    pieces = []
    for begin, end in pairwise(borders):
        rows = slice(whole.starts[begin], whole.starts[end])
        starts = whole.starts[begin : end + 1] - whole.starts[begin]
        pieces.append(PassageBatch(whole.keys[begin:end], starts, whole.spans[begin:end], whole.rows[rows]))
    assert write(pieces, 6) == write([whole], 6)


def test_a_segment_has_the_first_version_that_knows_what_it_has(small, encoded):
    assert struct.unpack_from("<I", small, 8)[0] == 1 and Segment.read(small, "small").fde is None
    assert struct.unpack_from("<I", encoded, 8)[0] == 2
    split = write([make_part(1, 40, 6, fde_dims=200)], 6, 200, order=Order.SPLIT)
    assert struct.unpack_from("<I", split, 8)[0] == 4 == VERSION
    without = write([make_part(1, 40, 6)], 6, order=Order.SPLIT)
    assert struct.unpack_from("<I", without, 8)[0] == 1


@pytest.mark.parametrize("fde_dims", [1, 128, 129, 600])
def test_the_order_of_fdes_changes_no_number(fde_dims):
    part = make_part(1, 70, 6, fde_dims=fde_dims)
    opened = {
        order: Segment.read(write([part], 6, fde_dims, order=order), "made") for order in Order if order
    }
    first, second = (segment.fde for segment in opened.values())
    assert (first.order, second.order) == (Order.SLICES, Order.SPLIT)
    assert first.rows().tobytes() == second.rows().tobytes()
    for segment in opened.values():
        segment.verify()
        again = write(segment.batches(np.arange(70) % 3 > 0), 6, fde_dims, order=Order.SPLIT)
        kept = Segment.read(again, "copied").fde.rows()
        assert kept.tobytes() == first.rows()[np.arange(70) % 3 > 0].tobytes()


def test_a_version_that_does_not_fit_what_is_there(small, encoded):
    for content, version in ((small, 4), (encoded, 3), (encoded, 1)):
        with pytest.raises(CorruptError, match=f"version {version} with FDEs of"):
            Segment.read(sealed(patched(content, 8, "<I", version)), "forged")


@pytest.mark.parametrize("fde_dims", [0, 1, 9, 1 << 16, (1 << 16) + 1, (1 << 32) - 1])
def test_dims_of_fdes_that_do_not_fit(small, encoded, fde_dims):
    with pytest.raises(StoreError):
        Segment.read(sealed(patched(encoded, 36, "<I", fde_dims)), "forged")
    if fde_dims:
        with pytest.raises(CorruptError, match="FDEs of"):
            Segment.read(sealed(patched(small, 36, "<I", fde_dims)), "forged")


@pytest.mark.parametrize("kind", [b"FDEC", b"FDES"])
def test_a_segment_whose_fdes_are_missing(encoded, kind):
    at = encoded.index(kind, TABLE)
    with pytest.raises(CorruptError, match=f"no section {kind.decode()}"):
        Segment.read(sealed(encoded[:at] + b"XXXX" + encoded[at + 4 :]), "forged")
    with pytest.raises(CorruptError, match=f"section {kind.decode()} of"):
        Segment.read(sealed(patched(encoded, at + 16, "<Q", 64)), "forged")


def test_truncated_at_every_length(fast_path, small):
    path = fast_path / "1.seg"
    for length in range(len(small)):
        path.write_bytes(small[:length])
        with pytest.raises(CorruptError, match=r"1\.seg"):
            Segment.open(path)
    path.write_bytes(small + b"\0")
    with pytest.raises(CorruptError, match="were written"):
        Segment.open(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "encoded"])
def test_every_flipped_byte_is_found(request, name):
    content = request.getfixturevalue(name)
    for at in range(len(content)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[at] ^= mask
            with pytest.raises(StoreError):
                Segment.read(bytes(damaged), "flipped").verify()


def test_every_flipped_byte_of_header_and_table_is_found_when_opened(small):
    for at in range(TABLE + SECTIONS * ENTRY):
        damaged = bytearray(small)
        damaged[at] ^= 0xFF
        with pytest.raises(StoreError):
            Segment.read(bytes(damaged), "flipped")


def test_too_new_is_not_corrupt(small):
    with pytest.raises(StoreError, match="upgrade") as caught:
        Segment.read(patched(small, 8, "<I", VERSION + 1), "newer")
    assert not isinstance(caught.value, CorruptError)


@pytest.mark.parametrize("magic", [b"\0" * 8, b"SQLite f", MAGIC[::-1]])
def test_another_file(small, magic):
    with pytest.raises(CorruptError, match="begins with"):
        Segment.read(magic + small[8:], "other")


@pytest.mark.parametrize("field", [16, 24])
@pytest.mark.parametrize("count", [0, 1, 1 << 31, (1 << 61) + 1, (1 << 64) - 1])
def test_counts_that_do_not_fit_the_sections(small, field, count):
    forged = sealed(patched(small, field, "<Q", count))
    with pytest.raises(CorruptError):
        Segment.read(forged, "forged")


@pytest.mark.parametrize("dims", [0, 9, 1 << 16, (1 << 32) - 1])
def test_dims_that_do_not_fit(small, dims):
    with pytest.raises(CorruptError):
        Segment.read(sealed(patched(small, 32, "<I", dims)), "forged")


@pytest.mark.parametrize("count", [0, 4, 6, 64, 65, 1 << 27, (1 << 32) - 1])
def test_section_counts_that_do_not_fit(small, count):
    with pytest.raises(CorruptError):
        Segment.read(sealed(patched(small, 12, "<I", count)), "forged")


@pytest.mark.parametrize("section", range(SECTIONS))
@pytest.mark.parametrize("offset", [0, 64, 128, 1, 257, 1 << 20, (1 << 64) - 64, (1 << 63)])
def test_offsets_that_overlap_or_lie_outside(small, section, offset):
    forged = sealed(patched(small, TABLE + section * ENTRY + 8, "<Q", offset))
    with pytest.raises(CorruptError):
        Segment.read(forged, "forged")


@pytest.mark.parametrize("section", range(SECTIONS))
@pytest.mark.parametrize("length", [0, 1, 8, 1 << 20, (1 << 64) - 1])
def test_lengths_that_do_not_fit(small, section, length):
    forged = sealed(patched(small, TABLE + section * ENTRY + 16, "<Q", length))
    with pytest.raises(CorruptError):
        Segment.read(forged, "forged")


def test_two_sections_that_share_their_bytes(small):
    place = small[TABLE + 2 * ENTRY + 8 : TABLE + 3 * ENTRY]
    at = TABLE + 3 * ENTRY + 8
    with pytest.raises(CorruptError, match="overlaps"):
        Segment.read(sealed(small[:at] + place + small[at + len(place) :]), "forged")


def column(content: bytes, kind: bytes, values: np.ndarray) -> bytes:
    """The file with other values in a section, and checksums that fit."""
    at = content.index(kind, TABLE)
    offset, length = struct.unpack_from("<QQ", content, at + 8)
    data = values.tobytes()
    assert len(data) == length
    content = content[:offset] + data + content[offset + length :]
    return sealed(patched(content, at + 24, "<I", zlib.crc32(data)))


@pytest.mark.parametrize("damage", ["first", "last", "falling", "negative", "huge"])
def test_starts_that_do_not_rise(small, damage):
    starts = Segment.read(small, "small").starts.copy()
    rows = starts[-1]
    changes = {
        "first": (0, 1),
        "last": (-1, rows - 1),
        "falling": (3, rows),
        "negative": (1, -1),
        "huge": (2, 1 << 62),
    }
    place, value = changes[damage]
    starts[place] = value
    with pytest.raises(CorruptError, match="rise"):
        Segment.read(column(small, b"STRT", starts), "forged")


def test_keys_that_do_not_rise(small):
    keys = Segment.read(small, "small").keys[::-1].copy()
    with pytest.raises(CorruptError, match="keys"):
        Segment.read(column(small, b"KEYS", keys), "forged")


@pytest.mark.parametrize("span", [(-1, 3), (4, 3), (0, -(1 << 31))])
def test_spans_that_cannot_be(small, span):
    spans = Segment.read(small, "small").spans.copy()
    spans[2] = span
    with pytest.raises(CorruptError, match="span"):
        Segment.read(column(small, b"SPAN", spans), "forged")


def with_section(content: bytes, flags: int) -> bytes:
    """The file with a section FDE0 of eight bytes at its end."""
    entries = bytearray(content[TABLE : TABLE + SECTIONS * ENTRY])
    data = content[256:] + bytes(-len(content) % 64)
    for entry in range(SECTIONS):  # the table grows by one entry, which fits before the first section
        assert struct.unpack_from("<Q", entries, entry * ENTRY + 8)[0] >= 256
    table = bytes(entries) + struct.pack(
        "<4sIQQII", b"FDE0", flags, 256 + len(data), 8, zlib.crc32(b"fdefdefd"), 0
    )
    content = content[:64] + table + data + b"fdefdefd"
    content = patched(content, 12, "<I", SECTIONS + 1)
    return sealed(patched(content, 40, "<Q", len(content)))


def test_an_unknown_section(small):
    assert TABLE + (SECTIONS + 1) * ENTRY == 256
    segment = Segment.read(with_section(small, 0), "newer")
    segment.verify()
    np.testing.assert_array_equal(segment.keys, Segment.read(small, "small").keys)
    with pytest.raises(StoreError, match=r"FDE0.*upgrade") as caught:
        Segment.read(with_section(small, REQUIRED), "newer")
    assert not isinstance(caught.value, CorruptError)


def test_random_bytes():
    rng = np.random.default_rng(0)
    for size in (0, 1, 63, 64, 65, 256, 4096):
        with pytest.raises(CorruptError):
            Segment.read(rng.bytes(size), "random")
        with pytest.raises(CorruptError):
            Segment.read((MAGIC + struct.pack("<I", VERSION) + rng.bytes(size))[: max(size, 12)], "random")
