import numpy as np
import pytest

from femtosearch.errors import CheckpointError
from femtosearch.model.checkpoint import Dense, read_checkpoint
from femtosearch.model.checkpoint.dense import fold
from femtosearch.model.model import Model
from femtosearch.tensors import read_tensors, write_tensors

from ...tiny import write_tiny_model
from .layouts import dump, edit, write_modules

RNG = np.random.default_rng(3)


def random(*shape):
    return RNG.normal(size=shape).astype("f4")


def applied(layers, x):
    """The layers one after the other, as PyLate's Dense does it."""
    for layer in layers:
        y = x @ layer.weight.T.astype("f8") + (0 if layer.bias is None else layer.bias)
        if layer.use_residual:
            y = y + (x if layer.residual is None else x @ layer.residual.T)
        x = y
    return x


LAYERS = {
    "one": [Dense(random(4, 6))],
    "bias": [Dense(random(4, 6), random(4))],
    "residual": [Dense(random(6, 6), random(6), True)],
    "projected residual": [Dense(random(4, 6), None, True, random(4, 6))],
    "several": [
        Dense(random(9, 6), random(9)),
        Dense(random(9, 9), None, True),
        Dense(random(2, 9), random(2)),
    ],
    "several without bias": [Dense(random(9, 6)), Dense(random(2, 9), None, True, random(2, 9))],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_layers_are_one_affine_map(layers):
    ((weight, bias),) = fold(layers)
    x = RNG.normal(size=(20, 6))
    assert weight.dtype == np.float32
    assert (bias is None) == all(layer.bias is None for layer in layers)
    np.testing.assert_allclose(x @ weight.T + (0 if bias is None else bias), applied(layers, x), atol=1e-4)


def test_one_plain_layer_is_itself_and_none_are_none():
    layer = Dense(random(4, 6), random(4))
    assert fold([layer])[0] == (layer.weight, layer.bias) or fold([layer])[0][0] is layer.weight
    assert fold([]) == ()


def write_dense(folder, at, dense, **settings):
    parts = {"linear.weight": dense.weight, "linear.bias": dense.bias, "residual.weight": dense.residual}
    (folder / at).mkdir(exist_ok=True)
    write_tensors(
        folder / at / "model.safetensors", {n: part for n, part in parts.items() if part is not None}
    )
    said = {"activation_function": "torch.nn.modules.linear.Identity", "use_residual": dense.use_residual}
    dump(folder / at / "config.json", said | settings)


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "tiny")


def write_two(folder):
    two = [Dense(random(10, 12), random(10), True, random(10, 12)), Dense(random(10, 10), random(10), True)]
    modules = [("", "sentence_transformers.models.Transformer")]
    for number, dense in enumerate(two, 1):
        write_dense(folder, f"{number}_Dense", dense)
        modules.append((f"{number}_Dense", "pylate.models.Dense.Dense"))
    write_modules(folder, modules)
    return two


def test_several_modules_are_read_kept_and_saved(folder, tmp_path):
    two = write_two(folder)
    checkpoint = read_checkpoint(folder)
    assert len(checkpoint.dense) == 1
    for read, written in zip(checkpoint.layers, two, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(read.parts, written.parts, strict=True))
    model = Model.load(folder)
    model.save(tmp_path / "copy")
    assert Model.load(tmp_path / "copy").fingerprint == model.fingerprint
    copied = read_tensors(tmp_path / "copy" / "1_Dense" / "model.safetensors")
    assert np.array_equal(copied["residual.weight"], two[0].residual)


def test_a_residual_tells_models_apart(folder):
    weight = random(12, 12)
    write_dense(folder, "1_Dense", Dense(weight, None, True))
    with_residual = Model.load(folder).fingerprint
    write_dense(folder, "1_Dense", Dense(weight))
    assert Model.load(folder).fingerprint != with_residual


@pytest.mark.parametrize(
    ("dense", "message"),
    [
        (Dense(random(4, 12), None, True), "found none"),
        (Dense(random(12, 12), None, True, random(12, 12)), r"found \[12, 12\]"),
        (Dense(random(4, 12), None, True, random(4, 11)), r"found \[4, 11\]"),
        (Dense(random(4, 12), random(5)), r"expected linear\.bias \[4\], found \[5\]"),
        (Dense(random(4)), r"expected linear\.weight \[out, in\], found \[4\]"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(folder, dense, message):
    write_dense(folder, "1_Dense", dense)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_modules_that_do_not_fit_one_another_are_refused(folder):
    write_two(folder)
    write_dense(folder, "2_Dense", Dense(random(4, 11)))
    with pytest.raises(CheckpointError, match="Dense 2 takes 11 dims, what comes before gives 10"):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", ["torch.nn.modules.activation.Hardtanh", "os.Tanh", None])
def test_an_activation_is_refused(folder, name):
    edit(folder / "1_Dense" / "config.json", activation_function=name)
    with pytest.raises(CheckpointError, match=f"activation '{name}' is not known"):
        read_checkpoint(folder)


def test_an_activation_that_only_torch_computes_is_read(folder):
    edit(folder / "1_Dense" / "config.json", activation_function="torch.nn.modules.activation.Tanh")
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.dense, [dense.activation for dense in checkpoint.modules]) == ((), ["Tanh"])
    assert "Dense with activation Tanh is not known to the native engine" in checkpoint.unfit


def test_use_residual_is_true_or_false(folder):
    edit(folder / "1_Dense" / "config.json", use_residual="yes")
    with pytest.raises(CheckpointError, match="expected use_residual to be bool, found 'yes'"):
        read_checkpoint(folder)
