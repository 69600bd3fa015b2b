"""Model folders with changed files: weights, configuration, tokenizer and FDE."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from femtosearch import FemtosearchError, Model
from torture.counts import Counts
from torture.mutations import changed, changed_json
from torture.rounds import Wrong, share
from torture.sandbox import Case, try_all

_CASES = 60  # in one round, beside the bombs
_GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "models"
_TEXTS = ["The cat sat on the mat, 漢字 \0 zzz.", "banana", ""]


def models(place: Path, seed: int, counts: Counts) -> None:
    """Change one file of a model folder, load it and encode with it."""
    rng = random.Random(seed)
    folders = sorted(path for path in _GOLDEN.iterdir() if path.is_dir())
    source = folders[seed // 4 % (len(folders) + 1) - 1] if seed // 4 % (len(folders) + 1) else None
    template = place / "template"
    if source is None:
        Model.load("femto").save(template)
    else:
        shutil.copytree(source, template)
    files = sorted(path for path in template.rglob("*") if path.suffix in (".json", ".safetensors"))
    chosen = [(rng.choice(files).relative_to(template), rng.random()) for _ in range(share(_CASES))]
    cases = [_case(place, number, *choice) for number, choice in enumerate(chosen)]
    cases += [_bomb(place, name) for name in rng.sample(list(BOMBS), share(4))]
    try_all(cases, place, counts)


def _case(place: Path, number: int, name: Path, chance: float) -> Case:
    def attempt() -> None:
        rng = random.Random(chance)
        folder = _copied(place, number)
        data = (folder / name).read_bytes()
        change = rng.choice([changed_json, changed_json, changed_json, changed])
        (folder / name).write_bytes(
            _with_header(data, change, rng) if name.suffix != ".json" else change(data, rng)
        )
        _use(folder)
        shutil.rmtree(folder)

    return f"models, {name.name}", f"case {number}", attempt


def _copied(place: Path, name: int | str) -> Path:
    """A copy of the template to be changed."""
    folder = place / f"{name}"
    shutil.copytree(place / "template", folder)
    return folder


def _with_header(data: bytes, change: Callable[[bytes, random.Random], bytes], rng: random.Random) -> bytes:
    """A safetensors file with another header, or with other bytes anywhere."""
    if change is changed:
        return changed(data, rng)
    size = int.from_bytes(data[:8], "little")
    header = changed_json(data[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _use(folder: Path) -> None:
    """Load and encode. Raises Wrong, and what is no FemtosearchError."""
    with suppress(FemtosearchError):
        model = Model.load(folder)
        passages = model.encode_passages(_TEXTS)
        queries = model.encode_queries(_TEXTS)
        fde = getattr(model, "fde", None)
        if fde is not None:
            fde.documents(passages.rows)
        for rows in (passages.rows, queries):
            if rows.rows.shape[1:] != (model.dims,) or rows.starts[-1] != len(rows.rows):
                raise Wrong(f"rows of shape {rows.rows.shape}, starts to {rows.starts[-1]}")


def _safetensors(header: dict[str, Any] | str, size: int = 0) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def _tensor(dtype: str, shape: list[int], start: int, stop: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def _codes(folder: Path) -> None:
    """Codes and books whose product is terabytes."""
    tensors = {
        "z.codes": _tensor("U8", [1_000_000, 1], 0, 1_000_000),
        "z.books": _tensor("F32", [1, 1, 1_000_000], 1_000_000, 5_000_000),
    }
    (folder / "model.safetensors").write_bytes(_safetensors(tensors, 5_000_000))


def _shape(folder: Path) -> None:
    header = {"x": _tensor("F32", [2**63 - 1] * 200_000, 0, 4)}
    (folder / "model.safetensors").write_bytes(_safetensors(header, 4))


def _many_dims(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(_safetensors({"x": _tensor("F32", [1] * 100, 0, 4)}, 4))


def _huge_and_empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(_safetensors({"x": _tensor("F32", [0, 2**70], 0, 0)}))


def _keys(folder: Path) -> None:
    """An object of a megabyte whose last key is there twice."""
    keys = ", ".join(f'"key{n}": 0' for n in range(80_000))
    (folder / "config.json").write_text(f'{{{keys}, "key0": 0}}')


def _deep(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 200_000)


def _sparse(name: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate(20 << 30)

    return plant


def _device(name: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")

    return plant


def _fifo(name: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return plant


def _tokenizer(key: str, value: Any) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        path = folder / "tokenizer.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return plant


def _growing() -> Any:
    replace = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
    return {"type": "Sequence", "normalizers": [replace] * 4}


BOMBS: dict[str, Callable[[Path], None]] = {
    "codes of terabytes": _codes,
    "a shape of 200,000 numbers": _shape,
    "100 dims": _many_dims,
    "an empty tensor of 2^70 columns": _huge_and_empty,
    "80,000 keys, one twice": _keys,
    "200,000 brackets": _deep,
    "sparse config.json": _sparse("config.json"),
    "sparse model.safetensors": _sparse("model.safetensors"),
    "/dev/zero as config.json": _device("config.json"),
    "/dev/zero as tokenizer.json": _device("tokenizer.json"),
    "FIFO as config.json": _fifo("config.json"),
    "FIFO as model.safetensors": _fifo("model.safetensors"),
    "a normalizer that grows texts": _tokenizer("normalizer", _growing()),
    "a precompiled normalizer": _tokenizer(
        "normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    ),
    "a normalizer that is a number": _tokenizer("normalizer", 5),
    "added tokens that are a number": _tokenizer("added_tokens", 5),
}


def _bomb(place: Path, name: str) -> Case:
    def attempt() -> None:
        folder = _copied(place, f"bomb-{list(BOMBS).index(name)}")
        if (folder / "model.safetensors").exists():
            BOMBS[name](folder)
            _use(folder)
        shutil.rmtree(folder)

    return "models, bombs", name, attempt
