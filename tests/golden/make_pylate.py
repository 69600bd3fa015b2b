"""What PyLate computes. Run it where PyLate is installed:

HF_HUB_OFFLINE=1 python tests/golden/make_pylate.py
    write its part of models/, then pylate/
HF_HUB_OFFLINE=1 python tests/golden/make_pylate.py OUT MODEL...
    write what it computes with these folders to OUT
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from arrays import DOCUMENTS, HERE, MODELS, QUERIES, TEXTS, Said, answer, write_golden
from pylate import models, rank
from seeds import HIDDEN, linear, write_backbone, write_plain, write_stanford
from sentence_transformers.models import Transformer

DIMS = 8
torch.set_num_threads(1)
LENGTHS = {"query_length": 12, "document_length": 24}
IN_VOCABULARY = {"query_prefix": "[unused0]", "document_prefix": "[unused1]"}
READS = ("pylate", "pylate-dense", "pylate-half", "pylate-sharded", "stanford", "backbone")
PACKAGES = ("pylate", "sentence-transformers", "transformers", "tokenizers", "torch", "numpy", "scipy")


def main() -> None:
    """Write the golden files, or what is asked for."""
    if answer(say, PACKAGES, sys.argv[1:]):
        return
    make_models()
    write_golden(HERE / "pylate", {name: say(MODELS / name) for name in READS}, PACKAGES)


def say(folder: Path) -> Said:
    """Rows, pooled rows and the orders of reranking of a model folder, computed in float32."""
    model = load(folder)
    said = Said()
    said.rows["query"] = model.encode(TEXTS, is_query=True, show_progress_bar=False)
    for kind, factor in (("document", 1), ("pooled2", 2), ("pooled3", 3)):
        said.rows[kind] = model.encode(TEXTS, is_query=False, pool_factor=factor, show_progress_bar=False)
    queries = model.encode(QUERIES, is_query=True, show_progress_bar=False)
    documents = model.encode(DOCUMENTS, is_query=False, show_progress_bar=False)
    steady = [number for number, rows in enumerate(documents) if is_steady(queries, rows)]
    candidates = [documents[number] for number in steady]
    found = rank.rerank([steady] * len(QUERIES), queries, [candidates] * len(QUERIES))
    said.orders = [[(hit["id"], hit["score"]) for hit in hits] for hits in found]
    return said


def is_steady(queries: list[np.ndarray], rows: np.ndarray) -> bool:
    """Whether the zero rows that rank.rerank pads documents with win nowhere: no best product is negative."""
    return all((query @ rows.T).max(axis=1).min() >= 0 for query in queries)


def load(folder: Path) -> models.ColBERT:
    """The folder as a user loads it; a plain backbone has its 1_Dense added, which PyLate would make up."""
    options = {"device": "cpu", "trust_remote_code": True, "model_kwargs": {"dtype": torch.float32}}
    if (folder / "modules.json").is_file() or not (folder / "1_Dense").is_dir():
        return models.ColBERT(str(folder), **options)
    modules = [
        Transformer(str(folder), model_args={"dtype": torch.float32}),
        models.Dense.load(str(folder / "1_Dense")),
    ]
    return models.ColBERT(modules=modules, device="cpu", **LENGTHS, **IN_VOCABULARY)


def make_models() -> None:
    """PyLate's own saves, and the two layouts that no peer writes."""
    make_model("pylate", seed=1, hashed=True, dense=[dense(1, HIDDEN, DIMS)], settings=LENGTHS)
    make_model(
        "pylate-dense",
        seed=2,
        hashed=True,
        dense=[
            dense(2, HIDDEN, 12, bias=True, residual=True),
            dense(3, 12, 12, residual=True),
            dense(4, 12, DIMS, bias=True),
        ],
        settings={**LENGTHS, "attend_to_expansion_tokens": True, "skiplist_words": ["the", "?", "absent"]},
    )
    half = {**LENGTHS, "do_query_expansion": False, "query_prefix": "", "document_prefix": ""}
    make_model("pylate-half", seed=3, dense=[dense(5, HIDDEN, DIMS)], settings=half, dtype=torch.float16)
    folder = make_model(
        "pylate-sharded",
        seed=4,
        dense=[dense(6, HIDDEN, DIMS)],
        settings=LENGTHS | IN_VOCABULARY,
        dtype=torch.bfloat16,
    )
    whole = models.ColBERT(str(folder), device="cpu", model_kwargs={"dtype": torch.bfloat16})
    (folder / "model.safetensors").unlink()
    whole[0].auto_model.save_pretrained(folder, max_shard_size="12KB")
    for name in ("stanford", "backbone"):
        shutil.rmtree(MODELS / name, ignore_errors=True)
    write_stanford(MODELS / "stanford", seed=5, dims=DIMS, **LENGTHS)
    write_plain(MODELS / "backbone", seed=6, dims=DIMS)


def dense(seed: int, wide: int, narrow: int, bias: bool = False, residual: bool = False) -> models.Dense:
    """A random Dense; one with a residual of another width has a second matrix."""
    rng = np.random.default_rng(seed)
    module = models.Dense(wide, narrow, bias=bias, use_residual=residual)
    with torch.no_grad():
        module.linear.weight.copy_(torch.from_numpy(linear(rng, wide, narrow)))
        if bias:
            module.linear.bias.copy_(torch.from_numpy(linear(rng, narrow, 1)[0]))
        if residual and wide != narrow:
            module.residual.weight.copy_(torch.from_numpy(linear(rng, wide, narrow)))
    return module


def make_model(
    name: str, *, seed: int, dense: list, settings: dict, hashed: bool = False, dtype=None
) -> Path:
    """A folder that PyLate saved."""
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)  # the prefixes' rows are drawn by transformers
    with tempfile.TemporaryDirectory() as place:
        write_backbone(Path(place), seed=seed, hashed=hashed)
        trust = {"trust_remote_code": True}
        body = Transformer(
            place, model_args={"dtype": torch.float32} | trust, tokenizer_args=trust, config_args=trust
        )
        model = models.ColBERT(modules=[body, *dense], device="cpu", **settings)
        if dtype is not None:
            model.to(dtype)
        model.save(str(folder), create_model_card=False)
    (folder / "README.md").unlink(missing_ok=True)
    return folder


if __name__ == "__main__":
    main()
