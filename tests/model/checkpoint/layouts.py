"""The tiny model in other layouts than PyLate's."""

import json
import shutil

from femtosearch.tensors import read_tensors, write_tensors

from ...tiny import write_tiny_model

BASE = "sentence_transformers.base.modules"
MASK = "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask"
NATIVE_MODULES = {
    "": f"{BASE}.transformer.Transformer",
    "1_Dense": f"{BASE}.dense.Dense",
    "2_MultiVectorMask": f"{MASK}.MultiVectorMask",
    "3_Normalize": f"{BASE}.normalize.Normalize",
}


def dump(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def load(path):
    return json.loads(path.read_text())


def edit(path, **changes):
    dump(path, {**(load(path) if path.exists() else {}), **changes})


def write_modules(folder, modules):
    entries = [
        {"idx": n, "name": str(n), "path": path, "type": kind} for n, (path, kind) in enumerate(modules)
    ]
    dump(folder / "modules.json", entries)


def write_native(folder):
    """As Sentence Transformers 6 saves a MultiVectorEncoder."""
    write_tiny_model(folder)
    write_modules(folder, NATIVE_MODULES.items())
    dump(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "MultiVectorEncoder",
            "prompts": {"query": "[Q] ", "document": "[D] "},
            "default_prompt_name": None,
            "similarity_fn_name": "maxsim",
        },
    )
    expansion = {"strategy": "fixed", "attend": False, "token": None, "length": 12}
    dump(folder / "sentence_bert_config.json", {"document_length": 24, "query_expansion": expansion})
    edit(folder / "1_Dense" / "config.json", module_input_name="token_embeddings")
    dump(
        folder / "2_MultiVectorMask" / "config.json",
        {"skiplist_words": [",", "."], "skiplist_tasks": ["document"]},
    )
    dump(folder / "3_Normalize" / "config.json", {"module_input_name": "token_embeddings"})
    return folder


def write_stanford(folder, **metadata):
    """As Stanford's ColBERT saves: the projection among BERT's tensors, settings in artifact.metadata."""
    write_tiny_model(folder, code_width=None, prefixes=("[unused0]", "[unused1]"))
    dense = read_tensors(folder / "1_Dense" / "model.safetensors")
    weights = {f"bert.{name}": array for name, array in read_tensors(folder / "model.safetensors").items()}
    write_tensors(folder / "model.safetensors", dense | weights)
    shutil.rmtree(folder / "1_Dense")
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / name).unlink()
    edit(folder / "config.json", architectures=["HF_ColBERT"])
    said = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": 12, "doc_maxlen": 24}
    dump(folder / "artifact.metadata", said | metadata)
    return folder
