"""A text of any length is indexed in stretches: its passages are those of the stretches, in one segment."""

import subprocess
import sys

import numpy as np
import pytest

from femtosearch.errors import DocumentError
from femtosearch.fde import Muvera
from femtosearch.index import commit as commit_module
from femtosearch.index import cost
from femtosearch.index.index import Index
from femtosearch.index.segment import Segment
from femtosearch.model import stretches

from ..fakes import FakeModel, fast_path
from ..tiny import write_tiny_model

__all__ = ["fast_path"]

MODEL = FakeModel()
TEXT = " ".join(f"word{n}" for n in range(200))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(stretches, "LONGEST", 100)
    monkeypatch.setattr(stretches, "BATCH", 300)


def passages_of(index, text):
    """The spans of all passages of the documents with that text, as searches for their words find them."""
    hits = [
        hit for n in range(200) for hit in index.search(f"word{n}", k=9, mode="maxsim") if hit.text == text
    ]
    return sorted({hit.passage for hit in hits})


@pytest.mark.parametrize("segment_bytes", [1_000, 64 << 20])
def test_passages_of_stretches_are_of_the_text(fast_path, monkeypatch, segment_bytes):
    monkeypatch.setattr(commit_module, "SEGMENT_BYTES", segment_bytes)
    with Index(fast_path / "i", model=MODEL, fde=None) as index:
        index.add([{"id": "a", "text": "word1 word2"}, {"id": "long", "text": TEXT}, {"id": "b", "text": ""}])
        assert index.get("long").text == TEXT and index.verify() == []
        spans = passages_of(index, TEXT)
        assert spans[0][0] == 0 and spans[-1][1] == len(TEXT)
        assert " ".join(TEXT[begin:end] for begin, end in spans) == TEXT
        index.delete(["a"])
        index.compact()
        assert passages_of(index, TEXT) == spans and index.verify() == []
        index.delete(["long"])
        index.compact()
        assert index.stats().passages == 0


def test_a_long_document_lies_in_one_segment(fast_path, monkeypatch):
    monkeypatch.setattr(commit_module, "SEGMENT_BYTES", 500)
    with Index(fast_path / "i", model=MODEL, fde=None) as index:
        index.add([{"id": f"{n}", "text": TEXT} for n in range(3)])
    keys = [set(Segment.open(path).keys.tolist()) for path in (fast_path / "i" / "segments").iterdir()]
    assert len(keys) == 3 and not set.intersection(*keys)


def test_a_long_document_has_fdes_or_none(fast_path, monkeypatch):
    """The index crosses the size at which it needs FDEs in the middle of a document."""
    rows = []
    monkeypatch.setattr(cost, "needs_fdes", lambda dims, count: rows.append(count) or count > 100)
    model = FakeModel()
    model.fde = Muvera(2, 2, 4)
    with Index(fast_path / "i", model=model) as index:
        index.add([{"id": "long", "text": TEXT}])
        assert min(rows) <= 100 < max(rows)
        assert index.verify() == [] and index.search("word7", mode="fde")[0].id == "long"
    [path] = (fast_path / "i" / "segments").iterdir()
    assert Segment.open(path).fde.count == Segment.open(path).passages


def test_memory_that_is_short_is_told_with_the_document(fast_path, monkeypatch):
    class Large(FakeModel):
        def encode_passages(self, texts):
            if any("word199" in text for text in texts):
                raise MemoryError
            return super().encode_passages(texts)

    with Index(fast_path / "i", model=Large(), fde=None) as index:
        index.add(["word3"])
        with pytest.raises(
            DocumentError, match=r"document 1, of 1,\d+ characters: there is not enough memory"
        ):
            index.add(["short", TEXT], batch=1)
        with pytest.raises(DocumentError, match="none fitted"):
            index.add([TEXT])
        assert len(index) == 1 and index.verify() == []
        assert index.add([{"id": "more", "text": "word4"}]) == ["more"]


def test_spans_fit_their_numbers():
    assert np.iinfo(np.int32).max > 999_000_000


INDEX_A_LONG_TEXT = """
import resource, sys
from femtosearch import Index

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

with Index(sys.argv[2], model=sys.argv[1], fde=None) as index:
    index.add(["a cat and a dog. " * 12_000])
    before = peak()
    index.add(["a cat and a dog. " * 240_000])
    print(peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_a_text(tmp_path):
    """A text of 4 MB: 170 bytes a character were needed once, and 1 GB here."""
    model = str(write_tiny_model(tmp_path / "tiny"))
    command = [sys.executable, "-c", INDEX_A_LONG_TEXT, model, str(tmp_path / "i")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100, "MB"
