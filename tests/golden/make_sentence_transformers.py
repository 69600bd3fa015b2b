"""What Sentence Transformers computes. Run it where Sentence Transformers 6 is installed:

HF_HUB_OFFLINE=1 python tests/golden/make_sentence_transformers.py
    write its part of models/, then its folder
HF_HUB_OFFLINE=1 python tests/golden/make_sentence_transformers.py OUT MODEL...
    write what it computes with these folders to OUT
"""

import shutil
import string
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from arrays import DOCUMENTS, HERE, MODELS, QUERIES, TEXTS, Said, answer, write_golden
from seeds import HIDDEN, linear, write_backbone
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Normalize

DIMS = 8
torch.set_num_threads(1)
PACKAGES = ("sentence-transformers", "transformers", "tokenizers", "torch", "numpy", "scipy")
TOKENS = "token_embeddings"


def main() -> None:
    """Write the golden files, or what is asked for."""
    if answer(say, PACKAGES, sys.argv[1:]):
        return
    make_models()
    folders = sorted(folder for folder in MODELS.iterdir())
    write_golden(HERE / "sentence-transformers", {folder.name: say(folder) for folder in folders}, PACKAGES)


def say(folder: Path) -> Said:
    """Rows, pooled rows and the orders of reranking of a model folder, computed in float32."""
    model = load(folder)
    said = Said()
    said.rows["query"] = model.encode_query(TEXTS, convert_to_numpy=True)
    said.rows["document"] = model.encode_document(TEXTS, convert_to_numpy=True)
    for factor in (2, 3):
        pooling = HierarchicalTokenPooling(factor)
        said.rows[f"pooled{factor}"] = model.encode_document(
            TEXTS, convert_to_numpy=True, token_pooling=pooling
        )
    scores = model.similarity(model.encode_query(QUERIES), model.encode_document(DOCUMENTS))
    for row in scores:
        best = torch.sort(row, descending=True, stable=True)
        said.orders.append(list(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
    return said


def load(folder: Path) -> MultiVectorEncoder:
    """The folder as a user loads it; a plain backbone has its 1_Dense added."""
    model_kwargs = {"dtype": torch.float32}
    if (folder / "modules.json").is_file() or not (folder / "1_Dense").is_dir():
        return MultiVectorEncoder(
            str(folder), device="cpu", trust_remote_code=True, model_kwargs=model_kwargs
        )
    body = Transformer(str(folder), model_kwargs=model_kwargs)
    dense = Dense.load(str(folder / "1_Dense"))
    dense.module_input_name = dense.module_output_name = TOKENS
    return MultiVectorEncoder(
        modules=[body, dense, MultiVectorMask(), Normalize(module_input_name=TOKENS)], device="cpu"
    )


def make_models() -> None:
    """Sentence Transformers' own saves."""
    fixed = {"strategy": "fixed", "length": 12, "attend": False}
    make_model(
        "sentence-transformers",
        seed=11,
        hashed=True,
        dense=[dense(11, HIDDEN, DIMS)],
        body={"query_expansion": fixed, "document_length": 24},
        mask=MultiVectorMask(skiplist_words=[*string.punctuation, "absent"]),
        prompts={"query": "[Q] ", "document": "[D] "},
        markers=["[Q] ", "[D] "],
    )
    make_model(
        "sentence-transformers-text",
        seed=12,
        dense=[dense(12, HIDDEN, 12, bias=True), dense(13, 12, DIMS)],
        body={"query_length": 12, "document_length": 24},
        mask=MultiVectorMask(),
        prompts={"query": "query: ", "document": "the "},
    )
    make_model(
        "sentence-transformers-attended",
        seed=13,
        dense=[dense(14, HIDDEN, DIMS)],
        body={"query_expansion": fixed | {"attend": True}, "document_length": 24},
        mask=MultiVectorMask(skiplist_words=["the", "?"]),
        prompts={"query": "[unused0] ", "document": "[unused1] "},
        markers=["[unused0]", "[unused1]"],
    )
    make_model(
        "sentence-transformers-pooled",
        seed=14,
        dense=[dense(15, HIDDEN, DIMS, bias=True)],
        body={
            "query_expansion": fixed | {"strategy": "min", "length": 8, "token": "[PAD]"},
            "query_length": 16,
            "document_length": 24,
        },
        mask=MultiVectorMask(skiplist_words=["the", "?", "[UNK]"], skiplist_tasks=["query", "document"]),
        prompts={"query": "[Q] ", "document": "[D] "},
        markers=["[Q] ", "[D] "],
        pooling=[HierarchicalTokenPooling(2, num_protected_tokens=2)],
    )


def dense(seed: int, wide: int, narrow: int, bias: bool = False) -> Dense:
    """A random Dense over tokens."""
    rng = np.random.default_rng(seed)
    weight = torch.from_numpy(linear(rng, wide, narrow))
    init_bias = torch.from_numpy(linear(rng, narrow, 1)[0]) if bias else None
    return Dense(
        wide,
        narrow,
        bias=bias,
        activation_function=torch.nn.Identity(),
        init_weight=weight,
        init_bias=init_bias,
        module_input_name=TOKENS,
    )


def make_model(
    name: str,
    *,
    seed: int,
    dense: list,
    body: dict,
    mask: MultiVectorMask,
    prompts: dict,
    markers=(),
    pooling=(),
    hashed=False,
) -> None:
    """A folder that Sentence Transformers saved."""
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    trust = {"trust_remote_code": True}
    with tempfile.TemporaryDirectory() as place:
        write_backbone(Path(place), seed=seed, hashed=hashed)
        transformer = Transformer(
            place, model_kwargs=trust, processor_kwargs=trust, config_kwargs=trust, **body
        )
        transformer.tokenizer.add_special_tokens({"additional_special_tokens": list(markers)})
        transformer.auto_model.resize_token_embeddings(len(transformer.tokenizer))
        modules = [transformer, *dense, mask, Normalize(module_input_name=TOKENS), *pooling]
        model = MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts)
        model.save(str(folder), create_model_card=False)


if __name__ == "__main__":
    main()
