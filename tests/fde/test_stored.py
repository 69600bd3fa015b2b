"""An FDE as a file: what comes back is the same, and what is damaged is named."""

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from femtosearch.errors import FdeError
from femtosearch.fde import PRESETS, Muvera, preset, restore_fde, store_fde
from femtosearch.model.model import Model
from femtosearch.tensors import parse_tensors, tensor_bytes
from femtosearch.types import Rows

ROWS = Rows(np.random.default_rng(1).standard_normal((30, 20)).astype(np.float32), np.array([0, 4, 30]))


@pytest.mark.parametrize(
    "fde", [*map(preset, PRESETS), Muvera(3, 2, None), Muvera(3, 2, 20), Muvera(3, 2, 4, final=9)]
)
def test_what_is_stored_comes_back(fde):
    fde = replace(fde)  # pytest keeps the parameters till the end, and should keep nothing native with them
    data = store_fde(fde, 20)
    found = restore_fde(data, "here")
    assert found == fde and found.spec() == fde.spec() and store_fde(found, 20) == data
    assert (found.documents(ROWS) == fde.documents(ROWS)).all()
    assert (found.queries(ROWS) == fde.queries(ROWS)).all()
    with pytest.raises(FdeError, match="its matrices are for rows of 20 dims, found 21"):
        found.size(21)


@pytest.mark.parametrize("make", [lambda: preset("muvera"), lambda: Model.load("femto").fde])
def test_one_that_was_used_is_pickled_and_copied(make):
    fde, rows = make(), Rows(np.eye(50, dtype=np.float32), np.array([0, 20, 50]))
    documents, queries = fde.documents(rows), fde.queries(rows)
    for other in (pickle.loads(pickle.dumps(fde)), copy.copy(fde), copy.deepcopy(fde)):
        assert type(other) is type(fde) and other.spec() == fde.spec()
        assert (other.documents(rows) == documents).all() and (other.queries(rows) == queries).all()


def test_the_stored_matrices_count_not_the_seed():
    tensors, metadata = parse_tensors(store_fde(Muvera(3, 2, 4), 20), "here")
    other = restore_fde(tensor_bytes({**tensors, "planes": -tensors["planes"]}, metadata), "here")
    assert (other.documents(ROWS) != Muvera(3, 2, 4).documents(ROWS)).any()


def forged(spec=None, **changed):
    tensors, metadata = parse_tensors(store_fde(Muvera(3, 2, 4, final=9), 20), "here")
    said = json.loads(metadata["fde"])
    said["spec"] |= spec or {}
    return tensor_bytes({**tensors, **changed}, {"fde": json.dumps(said)})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "here: not a safetensors file"),
        (forged()[:-1], "here: tensor"),
        (tensor_bytes({}), "here: no FDE of a known kind"),
        (tensor_bytes({}, {"fde": "no JSON"}), "here: in its metadata, not valid JSON"),
        (tensor_bytes({}, {"fde": '{"kind": "lemon", "spec": {}}'}), "here: no FDE of a known kind"),
        (tensor_bytes({}, {"fde": '{"kind": [], "spec": {}}'}), "here: no FDE of a known kind"),
        (tensor_bytes({}, {"fde": 3}), "here: no FDE of a known kind"),
        (tensor_bytes({}, {"fde": "[" * 100_000}), "here: in its metadata, not valid JSON"),
        (tensor_bytes({}, {"fde": '{"kind": "muvera", "spec": 3}'}), "here: no FDE of a known kind"),
        (forged({"later": 1}), "here: no MUVERA of this femtosearch: .*later.*; upgrade it"),
        (forged({"bits": 99}), "here: bits: expected a whole number"),
        (forged({"bits": 1}), r"here: planes: expected shape \(3, 20, 1\), found \(3, 20, 2\)"),
        (forged(planes=np.zeros(3)), "here: planes: expected shape"),
        (forged(planes=np.full((3, 20, 2), np.nan)), "here: planes: expected finite numbers"),
        (forged(places=np.full(48, 9, np.int32)), "here: places: expected 0 to 9"),
        (forged(places=np.full(48, -1, np.int32)), "here: places: expected 0 to 9"),
        (forged(places=np.zeros(48, np.float32)), "here: places: expected shape"),
        (forged({"final": None}), "here: places: expected shape None"),
        (forged(strange=np.zeros(3)), "here: no MUVERA of this femtosearch"),
    ],
)
def test_what_is_damaged_is_named(data, message):
    with pytest.raises(FdeError, match=message):
        restore_fde(data, "here")


def test_of_equal_files_there_is_one_object_while_it_is_in_use():
    data = store_fde(Muvera(2, 2, 4), 8)
    one = restore_fde(data, "here")
    assert restore_fde(bytes(data), "there") is one
    assert restore_fde(store_fde(Muvera(2, 2, 4, seed=3), 8), "there") is not one
