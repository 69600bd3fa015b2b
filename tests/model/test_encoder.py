"""The native encoder: equal to numpy, the same bits in any company, and safe whatever it is given."""

import itertools
from functools import cache

import numpy as np
import pytest

from femtosearch import reference
from femtosearch.errors import ShapeError
from femtosearch.model import reference_int8
from femtosearch.model.encoder import Encoder
from femtosearch.types import BertConfig

# vocab, hidden, layers, heads, intermediate, positions, types, code width
FEMTO = BertConfig(100, 50, 2, 2, 200, 300, 2, 5)
PLAIN = BertConfig(60, 128, 2, 2, 512, 300, 2, None)
ODD = BertConfig(40, 33, 3, 3, 41, 300, 1, 3)
NARROW = BertConfig(40, 4, 1, 4, 1, 300, 2, 1)
SHALLOW = BertConfig(40, 20, 0, 2, 20, 300, 2, None)
DEEP = BertConfig(30, 400, 1, 5, 900, 300, 2, None)  # more than one block, of columns and of depth
LENGTHS = [0, 1, 2, 5, 7, 13, 100, 300]
PRECISIONS = ["float32", "int8"]


def random_weights(config):
    return {name: array.copy() for name, array in _drawn_weights(config).items()}  # a test may change its own


@cache
def _drawn_weights(config, seed=0):
    rng = np.random.default_rng(seed)
    hidden, inner, names = config.hidden_size, config.intermediate_size, {}

    def array(name, *shape, scale=1.0, shift=0.0):
        names[name] = (rng.normal(size=shape) * scale + shift).astype(np.float32)

    def linear(name, into, out):
        array(f"{name}.weight", out, into, scale=into**-0.5)
        array(f"{name}.bias", out, scale=0.1)

    def norm(name):
        array(f"{name}.weight", hidden, scale=0.1, shift=1)
        array(f"{name}.bias", hidden, scale=0.1)

    words = "embeddings.word_embeddings"
    if config.code_width is None:
        array(f"{words}.weight", config.vocab_size, hidden)
    else:
        array(f"{words}.embeddings.weight", config.vocab_size, config.code_width)
        linear(f"{words}.projections", config.code_width, hidden)
    array("embeddings.position_embeddings.weight", config.positions, hidden, scale=0.3)
    array("embeddings.token_type_embeddings.weight", config.types, hidden, scale=0.3)
    norm("embeddings.LayerNorm")
    for i in range(config.layers):
        layer = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{layer}.attention.{part}", hidden, hidden)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", hidden, inner)
        linear(f"{layer}.output.dense", inner, hidden)
        norm(f"{layer}.output.LayerNorm")
    return names


def random_dense(*sizes, bias=False, seed=1):
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(o, i)).astype(np.float32), rng.normal(size=o).astype(np.float32) if bias else None)
        for i, o in itertools.pairwise(sizes)
    ]


def random_texts(config, lengths=LENGTHS, seed=2):
    """ids, starts, attended, keep: a third of the tokens unattended, some rows dropped."""
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = rng.integers(0, config.vocab_size, starts[-1]).astype(np.int32)
    attended = np.array([-(-2 * n // 3) for n in lengths], np.int32)
    return ids, starts, attended, rng.random(starts[-1]) < 0.8


@pytest.fixture(scope="module")
def femto():
    return Encoder(FEMTO, random_weights(FEMTO), random_dense(50, 50))


MODELS = {
    "femto": (FEMTO, random_dense(50, 50)),
    "plain": (PLAIN, random_dense(128, 64, 96, bias=True)),
    "odd": (ODD, []),
    "narrow": (NARROW, random_dense(4, 100)),
    "shallow": (SHALLOW, random_dense(20, 7)),
    "deep": (DEEP, []),
}


@pytest.fixture(scope="module")
def expected():
    """What numpy makes of the texts of every model."""
    cache = {}
    for name, (config, dense) in MODELS.items():
        cache[name] = reference.encode(config, random_weights(config), dense, *random_texts(config))
    return cache


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_the_references(kernel, expected, name):
    config, dense = MODELS[name]
    encoder = Encoder(config, random_weights(config), dense)
    rows = encoder.encode(*random_texts(config))
    assert encoder.kernel == kernel and encoder.dims == rows.shape[1]
    assert rows.dtype == np.float32 and rows.shape == expected[name].shape
    assert np.abs(rows - expected[name]).max() <= 1e-5
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_text_gives_the_same_bits_in_any_company(kernel, precision):
    encoder = Encoder(FEMTO, random_weights(FEMTO), random_dense(50, 50), precision=precision)
    lengths = np.random.default_rng(5).integers(0, 70, 40)
    ids, starts, attended, keep = random_texts(FEMTO, lengths)

    def texts(order):
        pieces = [slice(starts[n], starts[n + 1]) for n in order]
        new_starts = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)
        part = lambda a: np.concatenate([a[p] for p in pieces])  # noqa: E731
        rows = encoder.encode(part(ids), new_starts, attended[order], part(keep), threads)
        cuts = np.cumsum([keep[p].sum() for p in pieces])[:-1]
        return np.split(rows, cuts)

    threads = 1
    alone = [texts(np.array([n]))[0] for n in range(40)]
    for threads in (0, 1, 2, 3, 64):
        order = np.random.default_rng(threads).permutation(40)
        for n, rows in zip(order, texts(order), strict=True):
            assert rows.tobytes() == alone[n].tobytes()


SHAPES = {  # heads of 1 to 128 dims; widths that fill their vectors, and that do not; one layer and many
    "one dim": (BertConfig(20, 1, 1, 1, 1, 40, 1, None), []),
    "heads of 1": (BertConfig(20, 7, 2, 7, 5, 40, 1, 2), []),
    "heads of 17": (BertConfig(20, 51, 1, 3, 30, 40, 9, None), random_dense(51, 3)),
    "heads of 31": (BertConfig(20, 62, 2, 2, 100, 40, 2, 5), []),
    "heads of 64": (BertConfig(20, 64, 2, 1, 65, 40, 2, None), random_dense(64, 65, 1, bias=True)),
    "heads of 127": (BertConfig(20, 127, 1, 1, 20, 40, 2, None), []),
    "heads of 128": (BertConfig(20, 256, 1, 2, 512, 40, 2, 33), random_dense(256, 400)),
    "pico": (BertConfig(20, 80, 2, 2, 320, 40, 2, 8), random_dense(80, 80)),
    "24 layers": (BertConfig(20, 16, 24, 2, 32, 40, 2, None), []),
    "small": (BertConfig(20, 384, 1, 12, 1536, 40, 2, None), random_dense(384, 128)),
    "base": (BertConfig(20, 768, 1, 12, 3072, 40, 2, None), random_dense(768, 128)),
}


@cache
def shaped(name):
    """A model, some texts, and what numpy makes of them."""
    config, dense = SHAPES[name]
    weights, texts = random_weights(config), random_texts(config, [1, 40, 3, 17])
    model = config, weights, dense
    return model, texts, reference.encode(*model, *texts)


@pytest.mark.parametrize("name", SHAPES)
def test_models_of_any_shape_give_the_references_rows(kernel, name):
    model, texts, expected = shaped(name)
    rows = Encoder(*model).encode(*texts)
    assert rows.shape == expected.shape
    assert np.abs(rows - expected).max() <= 1e-5


@pytest.mark.parametrize("name", SHAPES)
def test_int8_gives_the_references_bits(kernel, name):
    model, texts, _ = shaped(name)
    rows = Encoder(*model, precision="int8").encode(*texts)
    assert rows.tobytes() == int8_bits(name)


@cache
def int8_bits(name):
    """The bytes that numpy makes of the texts of a model of SHAPES or MODELS, the same for every kernel."""
    model, texts = shaped(name)[:2] if name in SHAPES else long_texts(name)
    return reference_int8.encode(*model, *texts).tobytes()


@cache
def long_texts(name):
    config, dense = MODELS[name]
    return (config, random_weights(config), dense), random_texts(config)


@pytest.mark.parametrize("name", MODELS)
def test_int8_gives_the_references_bits_of_long_texts(kernel, name):
    model, texts = long_texts(name)
    rows = Encoder(*model, precision="int8").encode(*texts)
    assert rows.tobytes() == int8_bits(name)


def test_int8_is_near_to_float32(expected):
    """Weights drawn at random are the hardest: what is learned is nearer."""
    for name in ("femto", "plain", "deep"):
        config, dense = MODELS[name]
        rows = Encoder(config, random_weights(config), dense, precision="int8").encode(*random_texts(config))
        assert (rows * expected[name]).sum(axis=1).min() > 0.999


def test_int8_of_rows_that_are_all_alike_or_zero():
    """Where a row's least number is its largest, a code stands for nothing and the middle is the number."""
    weights = random_weights(FEMTO)
    for name in ("embeddings.LayerNorm.weight", "encoder.layer.0.attention.self.value.weight"):
        weights[name] = np.zeros_like(weights[name])
    weights["embeddings.LayerNorm.bias"] = np.full(50, 2, np.float32)
    model, texts = (FEMTO, weights, []), random_texts(FEMTO, [9, 1])
    rows = Encoder(*model, precision="int8").encode(*texts)
    assert rows.tobytes() == reference_int8.encode(*model, *texts).tobytes()
    np.testing.assert_allclose(rows, reference.encode(*model, *texts), atol=0.02)


@pytest.mark.parametrize("inner", [385, 511, 769, 1000, 1930])
def test_inner_sizes_that_cut_into_uneven_blocks(kernel, inner):
    config = BertConfig(20, 9, 1, 3, inner, 40, 2, None)
    weights, texts = random_weights(config), random_texts(config, [30, 2])
    rows = Encoder(config, weights).encode(*texts)
    assert np.abs(rows - reference.encode(config, weights, [], *texts)).max() <= 1e-5


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["deep", "odd"])
def test_texts_that_share_a_group_do_not_meet(kernel, name, precision):
    """Many texts, of which few fill a group of rows; kept rows move to the front of their group."""
    config, dense = MODELS[name]
    encoder = Encoder(config, random_weights(config), dense, precision=precision)
    lengths = np.array([1, 100, 40, 0, 300, 2, 55, 3, 90, 90, 17])
    ids, starts, attended, keep = random_texts(config, lengths)
    keep[starts[6] : starts[7]] = False  # a text that leaves no row
    alone = [
        encoder.encode(ids[a:b], np.array([0, b - a]), attended[n : n + 1], keep[a:b])
        for n, (a, b) in enumerate(itertools.pairwise(starts))
    ]
    for threads in (1, 2, 5):
        together = encoder.encode(ids, starts, attended, keep, threads)
        assert together.tobytes() == np.concatenate(alone).tobytes()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_that_are_not_kept_change_nothing(kernel, precision):
    encoder = Encoder(FEMTO, random_weights(FEMTO), random_dense(50, 50), precision=precision)
    ids, starts, attended, keep = random_texts(FEMTO)
    everything = encoder.encode(ids, starts, attended, np.ones_like(keep))
    assert encoder.encode(ids, starts, attended, keep).tobytes() == everything[keep].tobytes()
    assert encoder.encode(ids, starts, attended, np.zeros_like(keep)).shape == (0, 50)


def test_any_byte_but_zero_keeps_a_row(femto):
    ids, starts, attended, keep = random_texts(FEMTO)
    odd = (keep * np.uint8(255)).view(bool)
    rows = femto.encode(ids, starts, attended, keep)
    assert femto.encode(ids, starts, attended, odd).tobytes() == rows.tobytes()


def test_unattended_tokens_change_no_other_row(femto):
    ids, starts = np.arange(20, dtype=np.int32), np.array([0, 20])
    keep = np.arange(20) < 12
    rows = femto.encode(ids, starts, np.array([12], np.int32), keep)
    ids[12:] = 99
    assert femto.encode(ids, starts, np.array([12], np.int32), keep).tobytes() == rows.tobytes()
    assert femto.encode(ids, starts, np.array([13], np.int32), keep).tobytes() != rows.tobytes()


def test_no_texts_and_empty_texts(femto):
    none, empty = np.zeros(0, np.int32), np.zeros(0, bool)
    assert femto.encode(none, np.zeros(1, np.int64), none, empty).shape == (0, 50)
    assert femto.encode(none, np.zeros(4, np.int64), np.zeros(3, np.int32), empty).shape == (0, 50)


def test_strided_arrays_are_accepted(femto):
    ids, starts, attended, keep = random_texts(FEMTO)
    rows = femto.encode(ids, starts, attended, keep)
    strided = [np.repeat(a, 2)[::2] for a in (ids, starts, attended, keep)]
    assert femto.encode(*strided).tobytes() == rows.tobytes()


def test_the_weights_may_go_and_may_be_strided():
    weights = random_weights(FEMTO)
    one = Encoder(FEMTO, weights, random_dense(50, 50))
    other = Encoder(FEMTO, {name: np.asfortranarray(a) for name, a in weights.items()}, random_dense(50, 50))
    texts = random_texts(FEMTO)
    rows = one.encode(*texts)
    for array in weights.values():
        array.fill(0)
    assert one.encode(*texts).tobytes() == other.encode(*texts).tobytes() == rows.tobytes()


def test_a_projection_may_lack_its_bias():
    weights = random_weights(FEMTO)
    bias = "embeddings.word_embeddings.projections.bias"
    without = {name: array for name, array in weights.items() if name != bias}
    weights[bias] = np.zeros(50, np.float32)
    texts = random_texts(FEMTO, [9])
    rows = Encoder(FEMTO, without).encode(*texts)
    assert (rows == Encoder(FEMTO, weights).encode(*texts)).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38, -3e38])
def test_absurd_weights_do_no_harm(kernel, value, precision):
    """Rows of such a model are no numbers; `make asan` looks for overflows on the way to them."""
    weights = random_weights(FEMTO)
    for name in weights:
        if "query" in name or "intermediate" in name:
            weights[name][...] = value
    texts = random_texts(FEMTO)
    encoder = Encoder(FEMTO, weights, precision=precision)
    assert encoder.encode(*texts).shape == (texts[3].sum(), FEMTO.hidden_size)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_of_zeros_stays_zero(precision):
    zeros = [(np.zeros((50, 50), np.float32), None)]
    encoder = Encoder(FEMTO, random_weights(FEMTO), zeros, precision=precision)
    assert not encoder.encode(*random_texts(FEMTO, [9])).any()


GOOD = {
    "ids": np.zeros(3, np.int32),
    "starts": np.array([0, 3]),
    "attended": np.array([3], np.int32),
    "keep": np.ones(3, bool),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.array([0, 100, 0], np.int32)}, "an id of text 0: expected 0 to 99, found 100"),
        ({"ids": np.array([0, -1, 0], np.int32)}, "an id of text 0: expected 0 to 99, found -1"),
        ({"ids": np.zeros(3, np.int64)}, r"ids: expected int32 \[\*\] in C order, found int64 \[3\]"),
        ({"ids": np.zeros((3, 1), np.int32)}, "ids: expected"),
        ({"starts": np.array([0, 4])}, "the end of starts: expected the 3 rows, found 4"),
        ({"starts": np.array([0, 9, 3]), "attended": np.ones(2, np.int32)}, "starts"),
        ({"starts": np.zeros(0, np.int64)}, "starts: expected at least one number"),
        ({"attended": np.array([4], np.int32)}, "attended of text 0: expected 1 to 3, found 4"),
        ({"attended": np.array([0], np.int32)}, "attended of text 0: expected 1 to 3, found 0"),
        ({"attended": np.array([-(2**31)], np.int32)}, "attended of text 0"),
        ({"attended": np.array([3, 3], np.int32)}, r"attended: expected int32 \[1\]"),
        ({"keep": np.ones(2, bool)}, r"keep: expected bool \[3\]"),
        ({"keep": np.ones(3, np.int8)}, r"keep: expected bool \[3\] in C order, found int8 \[3\]"),
        ({"threads": -1}, "threads: expected a whole number from 0 to 2147483647, found -1"),
        (
            {"ids": np.zeros(301, np.int32), "starts": np.array([0, 301]), "keep": np.ones(301, bool)},
            "length of text 0: expected at most 300 positions, found 301",
        ),
    ],
)
def test_texts_are_checked(femto, change, message):
    with pytest.raises(ShapeError, match=message):
        femto.encode(**{**GOOD, **change})


@pytest.mark.parametrize("name", random_weights(FEMTO))
def test_every_weight_is_checked(name):
    weights = random_weights(FEMTO)
    if not name.endswith("projections.bias"):
        with pytest.raises(ShapeError, match=f"weight {name} is missing"):
            Encoder(FEMTO, {k: v for k, v in weights.items() if k != name})
    shape = list(weights[name].shape)
    with pytest.raises(ShapeError, match=f"weight {name}: expected float32 .*, found float32"):
        Encoder(FEMTO, weights | {name: np.zeros([*shape[:-1], shape[-1] + 1], np.float32)})
    with pytest.raises(ShapeError, match=f"weight {name}: expected float32 .*, found float64"):
        Encoder(FEMTO, weights | {name: np.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "hidden_size: expected a multiple of 3 heads, found 50"),
        ({"heads": 0}, "heads: expected 1 to 50, found 0"),
        ({"hidden_size": 0}, "hidden_size: expected 1 to 65536, found 0"),
        ({"layers": -1}, "layers: expected 0 to 1024, found -1"),
        ({"positions": 0}, "positions: expected 1 to"),
        ({"vocab_size": 2**30}, "weight embeddings.word_embeddings.embeddings.weight: expected float32"),
    ],
)
def test_the_config_is_checked(change, message):
    config = BertConfig(**{k: getattr(FEMTO, k) for k in FEMTO.__slots__} | change)
    with pytest.raises(ShapeError, match=message):
        Encoder(config, random_weights(FEMTO))


def test_dense_modules_are_checked():
    weights = random_weights(FEMTO)
    with pytest.raises(ShapeError, match=r"dense module 1 weight: expected float32 \[\*, 40\]"):
        Encoder(FEMTO, weights, [*random_dense(50, 40), *random_dense(41, 7)])
    with pytest.raises(ShapeError, match=r"dense module 0 bias: expected float32 \[40\]"):
        Encoder(FEMTO, weights, [(random_dense(50, 40)[0][0], np.zeros(41, np.float32))])
    with pytest.raises(ShapeError, match="dense module 0 outputs: expected 1 to 65536, found 0"):
        Encoder(FEMTO, weights, [(np.zeros((0, 50), np.float32), None)])
