"""Notebooks of every version lose no cell."""

import json

from .make_files import place


def notebook(*cells, **further):
    return json.dumps({"cells": list(cells), "nbformat": 4, **further})


def test_a_notebook_of_version_3(entry):
    heading = {"cell_type": "heading", "level": 2, "source": ["Old", " heading"]}
    sheets = [
        [heading, {"cell_type": "code", "input": "x = 1"}],
        [{"cell_type": "markdown", "source": "second"}],
    ]
    book = entry("a.ipynb", json.dumps({"worksheets": [{"cells": cells} for cells in sheets]}))
    assert book.metadata["title"] == "Old heading" and book.text == "Old heading\n\nx = 1\n\nsecond"
    assert place(book, "second") == {"cell": 3, "heading": ["Old heading"]}


def test_odd_cells(entry):
    empty, odd = {"cell_type": "code", "source": None}, {"cell_type": "no-such", "source": "odd words"}
    cut = {"cell_type": "markdown", "source": "cut \ud83d"}
    book = entry("a.ipynb", notebook(empty, odd, cut))
    assert book.text == "odd words\n\ncut \ufffd" and place(book, "odd") == {"cell": 2}


def test_a_level_that_is_none(refusal):
    assert "Jupyter" in refusal("a.ipynb", '{"cells": [{"cell_type": "heading", "level": 1e999}]}')
