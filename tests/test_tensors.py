import json

import numpy as np
import pytest

from femtosearch.errors import CheckpointError
from femtosearch.tensors import read_tensors, write_tensors


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def with_header(path, header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def entry(shape, start, stop, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_what_is_written_is_read_bit_for_bit(path):
    rng = np.random.default_rng(0)
    tensors = {
        "a": rng.normal(size=(3, 5)).astype("f4"),
        "empty": np.zeros((0, 4), "f4"),
        "one": np.float32([7]),
    }
    write_tensors(path, tensors)
    found = read_tensors(path)
    assert list(found) == list(tensors)
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)


def test_half_precision_comes_as_float32(path):
    half = np.array([1.5, -2.25, 0.1], dtype="<f2")
    brain = (np.array([1.5, -2.25, 0.1], dtype="<f4").view(np.uint32) >> 16).astype("<u2")
    header = {"half": entry([3], 0, 6, "F16"), "brain": entry([3], 6, 12, "BF16")}
    with_header(path, header, half.tobytes() + brain.tobytes())
    found = read_tensors(path)
    assert found["half"].dtype == found["brain"].dtype == np.float32
    np.testing.assert_array_equal(found["half"], half.astype("f4"))
    np.testing.assert_allclose(found["brain"], [1.5, -2.25, 0.1], rtol=1e-2)


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        (b"{", b"", "not valid JSON"),
        (b"[" * 100_000, b"", "not valid JSON"),
        (b"[1]", b"", "JSON object"),
        ({"a": 3}, b"", "needs dtype, shape and data_offsets"),
        ({"a": entry([1], 0, 4, "F8")}, b"1234", "dtype 'F8'"),
        ({"a": entry([2], 0, 4)}, b"1234", "needs 8 bytes"),
        ({"a": entry([1], 4, 8)}, b"1234", "truncated or damaged"),
        ({"a": entry([1], 8, 4)}, b"12345678", "truncated or damaged"),
        ({"a": entry([-1], 0, 4)}, b"1234", "needs dtype, shape"),
        ({"a": entry([2**62, 8], 0, 4)}, b"1234", "truncated or damaged"),
        ({"a": entry([1.0], 0, 4)}, b"1234", "needs dtype, shape"),
        ({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, b"12345678", "overlap"),
    ],
)
def test_a_hostile_header_is_refused(path, header, body, message):
    with_header(path, header, body)
    with pytest.raises(CheckpointError, match=message):
        read_tensors(path)


def test_every_truncation_is_refused(path):
    write_tensors(path, {"a": np.ones((2, 3), "f4"), "b": np.ones(4, "f4")})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_tensors(path)


def test_a_missing_file_is_named(path):
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read"):
        read_tensors(path)
