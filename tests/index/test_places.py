"""Where a hit is: file, line, page, cell, row, headings; where it matched best; copies folded into one."""

import numpy as np
import pytest

from femtosearch.index.index import Index
from femtosearch.index.places import folded
from femtosearch.read import refresh
from femtosearch.types import Hit

from ..fakes import FakeModel


class Spelling(FakeModel):
    """A model that says which word each row is of."""

    def token_rows(self, text, *, query=False):
        import re

        spans = np.array([match.span() for match in re.finditer(r"\w+", text)], np.int64).reshape(-1, 2)
        return self.encode_queries([text]).rows, spans


@pytest.fixture
def index():
    with Index(model=Spelling(dims=16, words=40)) as index:
        yield index


def find(index, path, content, query):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refresh(index, [path])
    return index.search(query, k=1, spots=True)[0]


def test_lines_and_headings_of_markdown(index, tmp_path):
    text = "---\ntags: [x]\n---\n# Kitchen\n\nintro\n\n## Tap\n\nturn the\nvalve off\n"
    hit = find(index, tmp_path / "a.md", text, "valve")
    assert hit.source == str(tmp_path / "a.md")
    assert hit.lines == (11, 11) and hit.heading == ("Kitchen", "Tap")
    assert hit.text[slice(*hit.span)] == "valve"
    assert index.search("valve", k=1)[0].lines == (4, 11)  # of the passage, where no spot is asked for


def test_a_title_before_the_text_moves_no_line(index, tmp_path):
    hit = find(index, tmp_path / "a.md", "---\ntitle: Pipes\n---\nwater\n\nvalve\n", "valve")
    assert hit.text.startswith("Pipes\n\nwater") and hit.lines == (6, 6)


def test_rows_of_tables_and_lines_of_records(index, tmp_path):
    hit = find(index, tmp_path / "a.csv", 'id,text\n1,"red\nmoon"\n2,valve\n', "valve")
    assert (hit.id, hit.row, hit.lines) == ("2", 4, (4, 4))
    hit = find(index, tmp_path / "b.jsonl", '\n{"text": "tractor"}\n', "tractor")
    assert (hit.row, hit.lines) == (2, (2, 2))


def test_cells_and_html(index, tmp_path):
    book = '{"cells": [{"cell_type": "code", "source": "x"}, {"cell_type": "code", "source": "valve"}]}'
    assert find(index, tmp_path / "a.ipynb", book, "valve").cell == 2
    hit = find(index, tmp_path / "b.html", "<h1>Top</h1>\n<p>some\n<p>tractor", "tractor")
    assert hit.lines == (3, 3) and hit.heading == ("Top",)


def test_a_document_that_no_file_gave_has_no_place(index):
    index.add([{"id": "a", "text": "valve"}])
    hit = index.search("valve")[0]
    assert (hit.source, hit.lines, hit.page, hit.heading, hit.span) == (None, None, None, (), None)


def test_the_spot_is_where_the_query_matches_best(index, tmp_path):
    filler = "nothing here of it " * 8
    hit = find(index, tmp_path / "a.txt", f"valve {filler}\nleaking valve kitchen\n{filler}", "leaking valve")
    assert hit.lines == (2, 2)


def test_a_model_that_cannot_say_has_no_spots(tmp_path):
    with Index(model=FakeModel()) as index:
        hit = find(index, tmp_path / "a.txt", "red\nvalve", "valve")
        assert hit.span is None and hit.lines == (1, 2)


def test_equal_texts_are_one_hit(index):
    index.add([{"id": f"copy{n}", "text": "a red valve"} for n in range(5)])
    index.add([{"id": "other", "text": "blue valve"}, {"id": "third", "text": "moon"}])
    hits = index.search("red valve", k=2, fold=True)
    assert [hit.id for hit in hits] == ["copy0", "other"]
    assert hits[0].copies == ("copy1", "copy2", "copy3", "copy4") and hits[1].copies == ()
    assert [hit.id for hit in index.search("red valve", k=2)] == ["copy0", "copy1"]
    both = index.search(["red valve", "moon"], k=3, fold=True)
    assert [len(hits) for hits in both] == [3, 3] and both[1][0].id == "third"


def test_empty_texts_are_no_copies():
    hits = [Hit("a", 1.0, ""), Hit("b", 1.0, "")]
    assert [hit.id for hit in folded(hits)] == ["a", "b"]
