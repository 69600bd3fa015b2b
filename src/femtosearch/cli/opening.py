"""Loading the model and opening the index of a command, as its options say."""

from __future__ import annotations

import argparse
from pathlib import Path

from femtosearch.index.index import Index
from femtosearch.index.store import holds_index
from femtosearch.model.model import Model


def load_model(options: argparse.Namespace, source: str | Path | None = None) -> Model:
    """Load a model as the options say. source: its name or folder; None for --model, or the default one."""
    return Model.load(
        source or getattr(options, "model", None),
        conventions=options.conventions,
        engine=options.engine,
        precision=options.precision,
        pool_factor=options.pool_factor,
        prune_above=options.prune_above,
        revision=options.revision,
    )


def open_index(options: argparse.Namespace) -> Index:
    """Open the index in the folder of the options; made if absent. Its own model is used unless an option
    names one, or changes how it is read.
    """
    return Index(options.folder, model=chosen_model(options), fde=named_fde(options))


def chosen_model(options: argparse.Namespace) -> Model | None:
    """The model, if the options name one or change how it is read; None for each index's own."""
    named = options.model or options.conventions or options.revision
    usual = (options.engine, options.precision) == ("native", "float32")
    usual = usual and options.pool_factor is None and options.prune_above is None
    return load_model(options) if named or not usual else None


def named_fde(options: argparse.Namespace) -> str | None:
    """The name of the FDE that --fde gives; "auto" without it, None for "none"."""
    name = getattr(options, "fde", "auto")
    return None if name == "none" else name


def check_index(folder: str) -> None:
    """Raise StoreError, which says why, for a folder without an index."""
    from femtosearch.index.stats import describe

    if not holds_index(folder):
        describe(folder)
