"""A tiny random model folder, made in a moment: real in every part but its training."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from femtosearch.model.checkpoint import Checkpoint, expected_shapes
from femtosearch.model.checkpoint.write import write_checkpoint
from femtosearch.types import BertConfig, Conventions

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "fast", "red", "moon", "search", "night", "##ing"]


def write_tokenizer(path: Path, prefixes: tuple[str, ...] = ("[Q] ", "[D] ")) -> int:
    """A lower-casing WordPiece tokenizer, as BERT's. Returns the size of its vocabulary."""
    letters = list(string.ascii_lowercase)
    endings = ["##" + letter for letter in letters]
    pieces = [*SPECIAL, *WORDS, *letters, *endings, *string.punctuation, *string.digits]
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken(prefix, normalized=False) for prefix in prefixes])
    tokenizer.save(str(path))
    return tokenizer.get_vocab_size()


def write_tiny_model(
    folder: Path,
    *,
    seed: int = 0,
    code_width: int | None = 3,
    dims: int = 10,
    conventions: Conventions | None = None,
    layer_spread: float = 0.3,
    prefixes: tuple[str, ...] = ("[Q] ", "[D] "),
) -> Path:
    """A model folder in PyLate's layout with random weights: hidden 12, 2 layers, 3 heads.

    With a small layer_spread positions and layers change little: a row says which word it stands for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder / "tokenizer.json", prefixes)
    config = BertConfig(vocabulary, 12, 2, 3, 20, 48, code_width=code_width)
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in expected_shapes(config).items():
        spread = layer_spread if "layer." in name or "position" in name else 0.3
        centre = 1 if name.endswith("LayerNorm.weight") else 0
        weights[name] = rng.normal(centre, spread, shape).astype(np.float32)
    dense = ((rng.normal(0, 0.3, (dims, 12)).astype(np.float32), None),)
    conventions = conventions or Conventions(query_length=12, document_length=24)
    write_checkpoint(
        Checkpoint(folder, config, weights, dense, conventions, folder / "tokenizer.json"), folder
    )
    return folder
