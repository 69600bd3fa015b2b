import json
import os
import random

import numpy as np
import pytest

from femtosearch.errors import CheckpointError
from femtosearch.tensors import HEADER_LIMIT, parse_json, read_limited, read_tensors, write_tensors


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
        ({"a": entry([2**40, 2**40, 8], 0, 4)}, b"1234", "truncated or damaged"),
        ({"a": entry([2**62, 8], 0, 4)}, b"1234", "expected at most 32 axes of at most 1,099,511,627,776"),
        ({"a": entry([0, 2**70], 0, 0)}, b"", "expected at most 32 axes"),
        ({"a": entry([0, 2**40, 2**40], 0, 0)}, b"", "an empty tensor's other axes"),
        ({"a": entry([1] * 65, 0, 4)}, b"1234", "expected at most 32 axes"),
        ({"a": entry([2**63 - 1] * 200_000, 0, 4)}, b"1234", "expected at most 32 axes"),
        ({"a": entry({}, 0, 4)}, b"1234", "needs dtype, shape"),
        ({"a": entry("11", 0, 4)}, b"1234", "needs dtype, shape"),
        ({"a": {}}, b"", "needs dtype, shape"),
        ({"a": entry([1], 0, 4, ["F32"])}, b"1234", r"dtype \['F32'\]"),
        ({"a": entry([1], 0, 4, {"F32": 1})}, b"1234", "dtype {'F32': 1}"),
        ({"a\ud800": entry([1], 0, 4)}, b"1234", "surrogates not allowed"),
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


def test_a_number_too_large_for_float32_becomes_infinity(path):
    with_header(path, {"a": entry([1], 0, 8, "F64")}, np.array([1e300]).tobytes())
    assert np.isinf(read_tensors(path)["a"]).all()


def test_a_large_file_without_a_header_is_refused_before_it_is_read(path):
    with path.open("wb") as file:
        file.truncate(100 << 30)  # sparse: it takes no space
    with pytest.raises(CheckpointError, match="expected at most 17,179,869,184 bytes, found 107,374,182,400"):
        read_tensors(path)
    os.truncate(path, 16 << 30)
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_tensors(path)


def test_a_header_that_is_too_long_is_refused_before_it_is_read(path):
    with path.open("wb") as file:
        file.write((HEADER_LIMIT + 1).to_bytes(8, "little"))
        file.truncate(8 << 30)
    with pytest.raises(CheckpointError, match="and 16,777,216 are allowed"):
        read_tensors(path)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("/dev/zero", "a device")):
        for read in (read_tensors, lambda path: read_limited(path, 10)):
            with pytest.raises(CheckpointError, match=f"expected a regular file, found {kind}"):
                read(tmp_path / name)


def test_a_file_over_its_limit_is_refused(path):
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(CheckpointError, match="expected at most 4 bytes, found 5"):
        read_limited(path, 4)


def test_json_with_many_keys_and_one_of_them_twice_is_refused_at_once(path):
    content = json.dumps({str(number): 0 for number in range(100_000)}).encode()
    with pytest.raises(CheckpointError, match="the key '99999' is there twice"):
        parse_json(path, content[:-1] + b', "99999": 1}')


@pytest.mark.parametrize("around", ["[{}]", '{{"a": {}}}'])
def test_json_is_64_deep_at_most(path, around):
    def nested(depth):
        value = "1"
        for _ in range(depth):
            value = around.format(value)
        return value.encode()

    parse_json(path, nested(64))
    for depth in (65, 900, 5000):
        with pytest.raises(CheckpointError, match="not valid JSON"):
            parse_json(path, nested(depth))


@pytest.mark.parametrize(
    "content", [b'"\\ud800"', b'{"\\uDFFF": 1}', '"a"'.encode("utf-16"), b"\xff", b"1" * 5000]
)
def test_json_that_cannot_be_text_is_refused(path, content):
    with pytest.raises(CheckpointError, match="not valid JSON"):
        parse_json(path, content)


def test_json_may_spell_a_character_as_a_surrogate_pair(path):
    assert parse_json(path, b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}', '[{"b": {"a:": ":", "a:": ":"}}]', '{"a": {"x": 1, "y": 2}, "a": ":"}',
        '{":": 1, ":": 1}', r'{"a": 1, "\u0061": 2}', r'{"a": "\u003a", "a": 1}', '{"": "", "": ""}',
        r'{"a": "\u003A\u003A\u003A", "a": ":", "b": 0}', r'{"\\": 1, "\\": 2}', r'{"\":": 1, "\":": 2}',
    ],
)  # fmt: skip
def test_a_key_that_is_there_twice_is_found_however_it_hides(text):
    with pytest.raises(CheckpointError, match="is there twice"):
        parse_json("x.json", text.encode())


@pytest.mark.parametrize("seed", range(200))
def test_json_is_read_as_python_reads_it(seed):
    draw = random.Random(seed)

    def value(depth):
        kind = draw.randrange(4 if depth else 2)
        if kind < 2:
            return draw.choice([None, True, 0, -7, 1.5, "", ":", '":', "a\\:", "é:", "\u2028::", "x"])
        if kind == 2:
            return [value(depth - 1) for _ in range(draw.randrange(4))]
        return {draw.choice(["", ":", "::", "a", "b\\", '"', "c:d"]): value(depth - 1) for _ in range(4)}

    made = value(4)
    for ascii_only in (False, True):
        text = json.dumps(made, ensure_ascii=ascii_only, indent=draw.choice([None, 1]))
        assert parse_json("x.json", text.encode()) == made


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_may_be_so_deep_and_no_deeper(opening):
    closing = {"[": "]", "{": "}"}[opening[0]]
    for depth in (63, 64):
        parse_json("x.json", (opening * depth + "1" + closing * depth).encode())
    with pytest.raises(CheckpointError, match="at most 64"):
        parse_json("x.json", (opening * 65 + "1" + closing * 65).encode())
