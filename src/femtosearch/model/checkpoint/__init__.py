"""A model folder of any known layout -> Checkpoint: weights, shape, conventions, tokenizer; no code run."""

from femtosearch.model.checkpoint.backbone import CONFIG_KEYS, HASH_TABLE, WORD_TABLE, expected_shapes
from femtosearch.model.checkpoint.conventions import CONVENTION_KEYS, OUR_KEYS, OURS, PRESETS
from femtosearch.model.checkpoint.dense import ACTIVATIONS, LINEAR, Dense
from femtosearch.model.checkpoint.read import Checkpoint, read_checkpoint, with_conventions

__all__ = [
    "ACTIVATIONS", "CONFIG_KEYS", "CONVENTION_KEYS", "HASH_TABLE", "LINEAR", "OURS", "OUR_KEYS",
    "PRESETS", "WORD_TABLE", "Checkpoint", "Dense", "expected_shapes", "read_checkpoint", "with_conventions",
]  # fmt: skip
