"""ONNX graphs: ONNX Runtime's rows, made by the reader that docs/export.md shows, are the native engine's."""

import errno
import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from femtosearch.cli import main
from femtosearch.errors import CheckpointError, MissingExtraError
from femtosearch.model.model import Model
from femtosearch.tensors import read_tensors, write_tensors
from femtosearch.types import Conventions

from ..tiny import write_tiny_model
from .test_model import AWKWARD

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
LENGTHS = {"query_length": 12, "document_length": 24}
CONVENTIONS = {
    "expanded": Conventions(**LENGTHS),
    "attended": Conventions(**LENGTHS, attend_to_expansion=True),
    "expanded to less": Conventions(**LENGTHS, expansion_length=8),
    "plain": Conventions(**LENGTHS, expand_queries=False, skiplist=()),
    "no prefix": Conventions("", "", **LENGTHS),
    "prefix as text": Conventions("the", "dog ran ", **LENGTHS, prefix_as="text"),
    "skiplist in queries": Conventions(**LENGTHS, skiplist=(",", "the", "[MASK]"), skip_in_queries=True),
    "skiplist of queries": Conventions(**LENGTHS, query_skiplist=(",", "the", "[UNK]")),
    "both": Conventions(**LENGTHS, skiplist=("cat",), skip_in_queries=True, query_skiplist=("[UNK]",)),
}


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """reader(model) exports it and gives the `encode` of the page."""
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)

    def export(model):
        model.save_onnx(".")
        names = {}
        exec(compile(code, DOCS.name, "exec"), names)
        assert names["score"] > 0
        return names["encode"]

    return export


def assert_same_rows(encode, model, tolerance=1e-5):
    for side, native in (("query", model.encode_queries), ("document", model.encode_documents)):
        for text, rows in zip(AWKWARD, native(AWKWARD), strict=True):
            found = encode(text, side)
            assert found.shape == rows.shape
            np.testing.assert_allclose(found, rows, atol=tolerance)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_pages_reader_gives_the_native_rows(reader, tmp_path, name):
    folder = write_tiny_model(tmp_path.parent / f"{tmp_path.name}-model", conventions=CONVENTIONS[name])
    model = Model.load(folder)
    assert_same_rows(reader(model), model)


@pytest.mark.parametrize("kind", ["bert", "projection with a bias", "dense with a bias", "no dense"])
def test_every_kind_of_backbone_and_dense(reader, tmp_path, kind):
    folder = write_tiny_model(
        tmp_path.parent / f"{tmp_path.name}-model", code_width=None if kind == "bert" else 3
    )
    bias = np.linspace(-1, 1, 12, dtype="f4")
    if kind == "projection with a bias":
        tensors = read_tensors(folder / "model.safetensors")
        tensors["embeddings.word_embeddings.projections.bias"] = bias
        write_tensors(folder / "model.safetensors", tensors)
    elif kind == "dense with a bias":
        tensors = read_tensors(folder / "1_Dense" / "model.safetensors")
        write_tensors(folder / "1_Dense" / "model.safetensors", tensors | {"linear.bias": bias[:10]})
    elif kind == "no dense":
        modules = folder / "modules.json"
        modules.write_text(re.sub(r",\s*\{[^{}]*1_Dense[^{}]*\}", "", modules.read_text()))
    model = Model.load(folder)
    assert model.dims == (12 if kind == "no dense" else 10)
    assert_same_rows(reader(model), model)


def test_the_built_in_model(reader):
    model = Model.load()  # whose long queries are in pieces, which the page's reader is without
    model = Model.load(conventions=replace(model.conventions, query_pieces=1))
    assert_same_rows(reader(model), model, 2e-5)


def test_texts_of_a_batch_do_not_see_each_other(tmp_path):
    model = Model.load(write_tiny_model(tmp_path / "tiny"))
    model.save_onnx(tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    ids = np.array([[2, 5, 6, 3, 0, 0], [2, 7, 8, 9, 10, 3]], dtype=np.int64)
    mask = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=np.int64)
    (together,) = session.run(["rows"], {"input_ids": ids, "attention_mask": mask})
    (alone,) = session.run(["rows"], {"input_ids": ids[:1, :4], "attention_mask": mask[:1, :4]})
    np.testing.assert_allclose(together[0, :4], alone[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=-1), 1, atol=1e-6)
    (none,) = session.run(["rows"], {"input_ids": ids[:0], "attention_mask": mask[:0]})
    assert none.shape == (0, 6, 10)


def test_the_graph_has_the_operators_of_one_small_standard(tmp_path):
    Model.load(write_tiny_model(tmp_path / "tiny")).save_onnx(tmp_path / "a.onnx")
    graph = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 17)]
    assert {node.domain for node in graph.graph.node} == {""}
    assert [value.name for value in graph.graph.input] == ["input_ids", "attention_mask"]
    assert [value.name for value in graph.graph.output] == ["rows"]


def test_no_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    model = Model.load(write_tiny_model(tmp_path / "tiny"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.json").write_text("mine")
    with pytest.raises(CheckpointError, match=r"a\.json: cannot be written: is there already"):
        model.save_onnx(tmp_path / "out" / "a.onnx")
    with pytest.raises(CheckpointError, match="expected a new or empty folder"):
        model.save_onnx(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.json"]
    assert (tmp_path / "out" / "a.json").read_text() == "mine"


def test_a_full_disk_leaves_no_half_export(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    model = Model.load(write_tiny_model(tmp_path / "tiny"))
    monkeypatch.setattr(Path, "write_text", full)
    for target in ("folder", "a.onnx"):
        with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
            model.save_onnx(tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    model = Model.load(write_tiny_model(tmp_path / "tiny"))
    monkeypatch.delitem(sys.modules, "femtosearch.model.onnx_graph", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"needs onnx, .* pip install 'femtosearch\[onnx\]'"):
        model.save_onnx(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_no_onnx_file_can_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("femtosearch.model.onnx"), "LARGEST", 1000)
    with pytest.raises(CheckpointError, match="expected weights of at most 1,000 bytes"):
        Model.load(write_tiny_model(tmp_path / "tiny")).save_onnx(tmp_path / "out")


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tiny_model(tmp_path / "tiny")
    assert main(["export", "tiny", "copy"]) == 0
    assert capsys.readouterr().out.startswith("wrote tiny to copy: 10 files, ")
    assert Model.load("copy").fingerprint == Model.load("tiny").fingerprint
    assert main(["export", "--onnx", "--json", "tiny", "a.onnx"]) == 0
    assert capsys.readouterr().out.startswith('{"files": ["a.json", "a.onnx"], "bytes": ')
    assert main(["export", "built-in", "--quiet"]) == 0
    assert Model.load("built-in").fingerprint == Model.load().fingerprint
    assert main(["export", "tiny", "copy"]) == 1
    assert "femtosearch: copy: expected a new or empty folder" in capsys.readouterr().err
