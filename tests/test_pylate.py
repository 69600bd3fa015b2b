"""PyLate's own arrays (tests/golden/make_pylate.py) against ours: the same rows, as many, within 1e-4."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from femtosearch.checkpoint import read_checkpoint
from femtosearch.model import Model

HERE = Path(__file__).parent / "golden" / "pylate"
TEXTS = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
SETTINGS = {"expanded": {}, "attended": {"attend_to_expansion": True}, "plain": {"expand_queries": False}}


@pytest.mark.parametrize("kind", ["query", "document"])
@pytest.mark.parametrize("name", list(SETTINGS))
def test_rows_are_pylates(name, kind):
    golden = np.load(HERE / "pylate.npz")
    checkpoint = read_checkpoint(HERE / "model")
    model = Model(replace(checkpoint, conventions=replace(checkpoint.conventions, **SETTINGS[name])))
    encode = model.encode_queries if kind == "query" else model.encode_documents
    ours = encode(TEXTS)
    assert ours.starts.tolist() == golden[f"{name}_{kind}_starts"].tolist()
    np.testing.assert_allclose(ours.rows, golden[f"{name}_{kind}_rows"], atol=1e-4)
