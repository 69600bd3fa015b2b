import copy
import errno
import pickle
import shutil
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from femtosearch.errors import CheckpointError, FdeError, FemtosearchError
from femtosearch.fde import Muvera, store_fde, stored
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.model.fingerprint import KNOWN, digest_of, fingerprint_of, spelled
from femtosearch.model.model import BATCH, BUILT_INS, Model, built_in
from femtosearch.types import BertConfig, Conventions

from ..tiny import write_tiny_model

AWKWARD = [
    "", " \n\t ", "...!?", "the cat sat on a mat", "\0", "nul\0inside", "😀 emoji 😀", "猫は座った",
    "naïve café", "x" * 1000, "the " * 500,
    "[SEP] [MASK] [Q] the", "\u200b\u202e", "e\u0301", "a\r\nb",
]  # fmt: skip


def test_a_model_says_which_it_is():
    assert repr(Model.load("femto")) == "<Model 'femto', 50 dims, float32>"
    assert repr(Model.load("femto", precision="int8")) == "<Model 'femto', 50 dims, int8>"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model.load(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.mark.parametrize("options", [{}, {"precision": "int8", "pool_factor": 2, "conventions": "txtai"}])
def test_a_model_goes_to_other_processes(tmp_path, options):
    model = Model.load(write_tiny_model(tmp_path / "tiny"), **options)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert (other.fingerprint, other.precision) == (model.fingerprint, model.precision)
        for texts in (AWKWARD, ["the cat"]):
            expected = model.encode_documents(texts).rows
            assert other.encode_documents(texts).rows.tobytes() == expected.tobytes()


def test_a_model_whose_folder_has_changed_goes_nowhere(tmp_path):
    content = pickle.dumps(Model.load(write_tiny_model(tmp_path / "tiny")))
    write_tiny_model(tmp_path / "other", seed=5)
    shutil.copy(tmp_path / "other" / "model.safetensors", tmp_path / "tiny" / "model.safetensors")
    with pytest.raises(CheckpointError, match="expected the model that was pickled, found another"):
        pickle.loads(content)
    shutil.rmtree(tmp_path / "tiny")
    with pytest.raises(CheckpointError):
        pickle.loads(content)


def test_a_built_in_model_is_pickled_by_its_name():
    model = Model.load("femto")
    assert str(BUILT_INS).encode() not in pickle.dumps(model)
    assert pickle.loads(pickle.dumps(model)).fingerprint == model.fingerprint


def test_rows_are_unit_length_and_as_many_as_the_conventions_keep(model):
    queries = model.encode_queries(["the cat", "dog"])
    assert queries.rows.shape == (24, 10)
    assert queries.rows.dtype == np.float32
    assert queries.starts.tolist() == [0, 12, 24]
    documents = model.encode_documents(["the cat, sat", ""])
    assert documents.starts.tolist() == [0, 6, 9]
    np.testing.assert_allclose(np.linalg.norm(documents.rows, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("encode", ["encode_queries", "encode_documents"])
def test_a_texts_rows_are_the_same_bits_in_any_company(model, encode):
    encode = getattr(model, encode)
    alone = [encode([text], threads=1).rows for text in AWKWARD]
    order = np.random.default_rng(0).permutation(len(AWKWARD))
    for threads in (1, 2, 5):
        together = encode([AWKWARD[n] for n in order], threads=threads)
        for n, rows in zip(order, together, strict=True):
            assert np.array_equal(rows, alone[n])


def test_batches_join_without_a_seam(model):
    texts = [f"cat {n} dog" for n in range(2 * BATCH + 3)]
    seen = []
    rows = model.encode_documents(texts, progress=seen.append)
    assert seen == [BATCH, 2 * BATCH, len(texts)]
    assert len(rows) == len(texts)
    assert rows.starts[-1] == len(rows.rows)
    for n in (0, BATCH - 1, BATCH, len(texts) - 1):
        assert np.array_equal(rows[n], model.encode_documents([texts[n]]).rows)


def test_no_texts_are_no_rows(model):
    for encode in (model.encode_queries, model.encode_documents):
        rows = encode([])
        assert rows.rows.shape == (0, 10)
        assert rows.starts.tolist() == [0]
    assert len(model.encode_passages([])) == 0


def test_a_passages_rows_are_those_of_its_text(model):
    texts = ["the cat sat. " * 30, "", "dog"]
    passages = model.encode_passages(texts)
    assert passages.owner.tolist() == [0] * (len(passages) - 1) + [2]
    for rows, owner, (start, stop) in zip(passages.rows, passages.owner, passages.spans, strict=True):
        assert np.array_equal(rows, model.encode_documents([texts[owner][start:stop]]).rows)


def test_one_str_is_not_a_list_of_texts(model):
    with pytest.raises(FemtosearchError, match="expected a list of texts, found one str"):
        model.encode_queries("the cat")


def test_a_saved_model_loads_bit_for_bit(model, tmp_path):
    model.save(tmp_path / "copy")
    copy = Model.load(tmp_path / "copy")
    assert copy.fingerprint == model.fingerprint
    assert np.array_equal(copy.encode_documents(AWKWARD).rows, model.encode_documents(AWKWARD).rows)
    copy.save(tmp_path / "again")
    for path in (tmp_path / "copy").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "copy")).read_bytes()
            )


def test_saving_never_overwrites(model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="expected a new or empty folder"):
        model.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_full_disk_leaves_no_half_model(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("femtosearch.model.checkpoint.write.write_tensors", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
        model.save(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_the_fingerprint_tells_models_and_conventions_apart(model, tmp_path):
    prints = {model.fingerprint}
    prints.add(Model.load(write_tiny_model(tmp_path / "a", seed=1)).fingerprint)
    other = Conventions(query_length=13, document_length=24)
    prints.add(Model.load(write_tiny_model(tmp_path / "b", conventions=other)).fingerprint)
    assert len(prints) == 3


def test_what_a_model_says_of_itself(model):
    assert (model.name, model.dims, model.config.layers) == ("tiny", 10, 2)
    assert model.parameters == sum(a.size for a in model._checkpoint.weights.values()) + 120


def test_what_a_fingerprint_is_made_of_is_spelled_as_in_version_0_1_0():
    config, conventions = BertConfig(100, 12, 2, 3, 20, 48, code_width=3), Conventions(skiplist=("a", "b"))
    shape = (
        "BertConfig(vocab_size=100, hidden_size=12, layers=2, heads=3, intermediate_size=20, positions=48, "
        "types=2, code_width=3, norm_epsilon=1e-12)"
    )
    said = (
        "Conventions(query_prefix='[Q] ', document_prefix='[D] ', query_length=32, document_length=180, "
        "expand_queries=True, attend_to_expansion=False, skiplist=('a', 'b'))"
    )
    assert spelled(config, conventions) == f"({shape}, {said})"
    pooled = said.removesuffix(")") + ", pool_factor=2)"
    assert spelled(config, replace(conventions, pool_factor=2)) == f"({shape}, {pooled})"


def test_precision_is_float32_unless_said(model):
    assert Model.load().precision == "float32"
    assert model.precision == "float32"
    int8 = Model.load(model.source, precision="int8")
    assert int8.precision == "int8" and int8.fingerprint == model.fingerprint
    assert (int8.encode_queries(AWKWARD).rows * model.encode_queries(AWKWARD).rows).sum(1).min() > 0.99
    with pytest.raises(FemtosearchError, match="expected precision 'float32' or 'int8', found 'int4'"):
        Model.load(model.source, precision="int4")
    with pytest.raises(FemtosearchError, match="torch engine computes in float32"):
        Model.load(model.source, engine="torch", precision="int8")


def test_a_built_in_model_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in built_in():
        assert Model.load(name).source == BUILT_INS / name
    assert Model.load().name == built_in()[0]
    folder = write_tiny_model(tmp_path / "femto")
    assert Model.load("femto").fingerprint == Model.load(folder).fingerprint


@dataclass(frozen=True)
class Fitted(Muvera):
    """An FDE that was fitted for one model."""

    kind: ClassVar[str] = "fitted"
    model: str = ""


FITTED = Fitted(repetitions=3, bits=2, projection=4, model="f" * 64)


@pytest.fixture
def fitted(monkeypatch):
    monkeypatch.setitem(stored.KINDS, "fitted", Fitted.restore)
    return FITTED


def bringing(folder, fde, dims=10):
    """A model folder with an FDE."""
    write_tiny_model(folder)
    (folder / "fde.safetensors").write_bytes(fde if isinstance(fde, bytes) else store_fde(fde, dims))
    return folder


def test_a_model_brings_its_fde(tmp_path, fitted):
    bare = Model.load(write_tiny_model(tmp_path / "bare"))
    assert bare.fde is None
    for name, fde in (("any", Muvera(3, 2, 4)), ("own", replace(fitted, model=bare.fingerprint))):
        model = Model.load(bringing(tmp_path / name, fde))
        assert model.fde == fde and model.fingerprint == bare.fingerprint
        model.save(tmp_path / "saved" / name)
        again = Model.load(tmp_path / "saved" / name)
        assert again.fde == fde and again.fingerprint == model.fingerprint
        rows = model.encode_documents(["the cat sat"])
        assert (again.fde.documents(rows) == fde.documents(rows)).all()


def test_an_fde_is_for_the_models_own_conventions(tmp_path, fitted):
    folder = bringing(tmp_path / "m", fitted)
    own = replace(fitted, model=Model.load(folder).fingerprint)
    (folder / "fde.safetensors").write_bytes(store_fde(own, 10))
    assert Model.load(folder, engine="native").fde == own
    other = Model.load(folder, pool_factor=2)
    assert other.fde is None
    other.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "fde.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no FDE", "fde.safetensors: not a safetensors file"),
        (store_fde(Muvera(3, 2, 4), 11), "for rows of 11 dims, found 10"),
        (store_fde(FITTED, 10), "made for the model of fingerprint ffffffffffff"),
    ],
)
def test_an_fde_that_does_not_fit_stops_nothing_but_its_use(tmp_path, fitted, content, message):
    model = Model.load(bringing(tmp_path / "m", content))
    assert len(model.encode_documents(["the cat"])) == 1
    for use in (lambda: model.fde, lambda: model.save(tmp_path / "saved")):
        with pytest.raises(FdeError, match=message):
            use()
    assert not (tmp_path / "saved").exists()


def test_an_fde_outside_the_folder_is_not_read(tmp_path):
    folder = write_tiny_model(tmp_path / "m")
    (tmp_path / "outside").write_bytes(store_fde(Muvera(3, 2, 4), 10))
    (folder / "fde.safetensors").symlink_to(tmp_path / "outside")
    with pytest.raises(FdeError, match="a symbolic link that leaves the model folder"):
        _ = Model.load(folder).fde


def test_a_name_of_nothing_is_told_with_the_names_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"^NOPE: expected a model folder, .* \(megabyte, femto\) or OWNER/"
    ):
        Model.load("NOPE")


@pytest.mark.parametrize("name", built_in())
def test_the_fingerprints_of_the_built_in_models_are_known(name):
    checkpoint = read_checkpoint(BUILT_INS / name)
    settings = spelled(checkpoint.config, checkpoint.conventions)
    expected = {digest_of(checkpoint.folder, settings): fingerprint_of(checkpoint)}
    assert expected.items() <= KNOWN.items(), f"KNOWN in model/fingerprint.py should have {expected}"
    assert Model.load(name).fingerprint in expected.values()


def test_a_built_in_model_that_reads_or_holds_something_else_is_another(tmp_path, monkeypatch):
    usual = Model.load("femto")
    other = Model.load("femto", prune_above=0.5)
    assert other.fingerprint == fingerprint_of(other._checkpoint) != usual.fingerprint
    shutil.copytree(BUILT_INS / "femto", tmp_path / "femto")
    monkeypatch.setattr("femtosearch.model.model.BUILT_INS", tmp_path)
    assert Model.load("femto").fingerprint == usual.fingerprint
    weights = tmp_path / "femto" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = Model.load("femto")
    assert changed.fingerprint == fingerprint_of(changed._checkpoint) != usual.fingerprint
    checkpoint = replace(usual._checkpoint, weights={**usual._checkpoint.weights, "more": np.ones(1, "f4")})
    assert Model(checkpoint).fingerprint == fingerprint_of(checkpoint) != usual.fingerprint
