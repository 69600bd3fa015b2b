"""Random backbones for the golden checkpoints: BERT folders in Hugging Face's layout, a few kB each.

Needs numpy, safetensors and tokenizers only, so every peer's environment can run it. The weights are large
enough that a token, a position, a layer or a bias that is left out moves every row.
"""

import json
import shutil
import string
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

HIDDEN, LAYERS, HEADS, WIDE, POSITIONS, CODE_WIDTH = 16, 2, 2, 24, 40, 3
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "fast", "moon", "search", "night", "query", "##ing"]
MARKERS = ["[unused0]", "[unused1]"]  # in the vocabulary, as in BERT's own, and not marked as special
CODE = Path(__file__).parents[2] / "src" / "femtosearch" / "model" / "builtin" / "modeling_bert_hash.py"


def write_backbone(folder: Path, *, seed: int, hashed: bool = False, prefix: str = "") -> None:
    """config.json, model.safetensors and a lower-casing WordPiece tokenizer, as BERT's."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(folder)
    rng = np.random.default_rng(seed)
    weights = {prefix + name: array for name, array in _weights(rng, vocabulary, hashed).items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    settings = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": WIDE,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }
    if hashed:
        settings |= {"model_type": "bert_hash", "architectures": ["BertHashModel"], "projections": CODE_WIDTH}
        settings["auto_map"] = {
            "AutoConfig": "modeling_bert_hash.BertHashConfig",
            "AutoModel": "modeling_bert_hash.BertHashModel",
        }
        shutil.copy(CODE, folder)
    _write_json(folder / "config.json", settings)


def write_stanford(folder: Path, *, seed: int, dims: int, query_length: int, document_length: int) -> None:
    """Stanford ColBERT's layout: `bert.` before every name, linear.weight beside, artifact.metadata."""
    write_backbone(folder, seed=seed, prefix="bert.")
    rng = np.random.default_rng(seed)
    weights = load_file(folder / "model.safetensors") | {"linear.weight": linear(rng, HIDDEN, dims)}
    weights["bert.embeddings.position_ids"] = np.arange(POSITIONS, dtype=np.int64)[None]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    settings = json.loads((folder / "config.json").read_text()) | {"architectures": ["HF_ColBERT"]}
    _write_json(folder / "config.json", settings)
    metadata = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_token": "[Q]",
        "doc_token": "[D]",
        "query_maxlen": query_length,
        "doc_maxlen": document_length,
        "attend_to_mask_tokens": False,
        "mask_punctuation": True,
        "similarity": "cosine",
        "dim": dims,
    }
    _write_json(folder / "artifact.metadata", metadata)


def write_plain(folder: Path, *, seed: int, dims: int) -> None:
    """A backbone and a 1_Dense beside it, without modules.json: conventions are nowhere said."""
    write_backbone(folder, seed=seed)
    (folder / "1_Dense").mkdir()
    rng = np.random.default_rng(seed)
    weights = {"linear.weight": linear(rng, HIDDEN, dims), "linear.bias": linear(rng, dims, 1)[0]}
    save_file(weights, folder / "1_Dense" / "model.safetensors", {"format": "pt"})
    identity = "torch.nn.modules.linear.Identity"
    settings = {"in_features": HIDDEN, "out_features": dims, "bias": True, "activation_function": identity}
    _write_json(folder / "1_Dense" / "config.json", settings)


def linear(rng: np.random.Generator, wide: int, narrow: int) -> np.ndarray:
    """A Dense's weight [out, in]."""
    return rng.normal(0, 0.4, (narrow, wide)).astype(np.float32)


def _write_tokenizer(folder: Path) -> int:
    letters = list(string.ascii_lowercase)
    endings = ["##" + letter for letter in letters]
    pieces = [*SPECIAL, *MARKERS, *WORDS, *letters, *endings, *string.punctuation, *string.digits, "\u732b"]
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": POSITIONS,
        **{f"{token[1:-1].lower()}_token": token for token in SPECIAL},
    }
    _write_json(folder / "tokenizer_config.json", settings)
    return len(pieces)


def _weights(rng: np.random.Generator, vocabulary: int, hashed: bool) -> dict[str, np.ndarray]:
    def spread(*shape: int, by: float = 0.4) -> np.ndarray:
        return rng.normal(0, by, shape).astype(np.float32)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weight": 1 + spread(HIDDEN), f"{name}.bias": spread(HIDDEN, by=0.2)}

    def dense(name: str, wide: int, narrow: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": spread(narrow, wide), f"{name}.bias": spread(narrow, by=0.2)}

    words = "embeddings.word_embeddings"
    weights = {f"{words}.weight": spread(vocabulary, HIDDEN, by=0.6)}
    if hashed:
        weights = {f"{words}.embeddings.weight": spread(vocabulary, CODE_WIDTH, by=1)}
        weights |= dense(f"{words}.projections", CODE_WIDTH, HIDDEN)
    weights["embeddings.position_embeddings.weight"] = spread(POSITIONS, HIDDEN)
    weights["embeddings.token_type_embeddings.weight"] = spread(2, HIDDEN)
    weights |= norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value"):
            weights |= dense(f"{at}.{part}", HIDDEN, HIDDEN)
        weights |= dense(f"{at}.attention.output.dense", HIDDEN, HIDDEN)
        weights |= dense(f"{at}.intermediate.dense", HIDDEN, WIDE)
        weights |= dense(f"{at}.output.dense", WIDE, HIDDEN)
        weights |= norm(f"{at}.attention.output.LayerNorm") | norm(f"{at}.output.LayerNorm")
    return weights | dense("pooler.dense", HIDDEN, HIDDEN)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
