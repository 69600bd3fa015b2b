"""The model and the index that a command is about."""

from __future__ import annotations

import argparse
from pathlib import Path

from femtosearch.index.index import Index
from femtosearch.index.store import holds_index
from femtosearch.model.model import Model


def load_model(options: argparse.Namespace, source: str | Path | None = None) -> Model:
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
    """The index in the folder; its model is loaded by name unless an option says how it is to be used."""
    return Index(options.folder, model=chosen_model(options), fde=named_fde(options))


def chosen_model(options: argparse.Namespace) -> Model | None:
    """The model that the options name or say how to use; None is each index's own."""
    named = options.model or options.conventions or options.revision
    usual = (options.engine, options.precision) == ("native", "float32")
    usual = usual and options.pool_factor is None and options.prune_above is None
    return load_model(options) if named or not usual else None


def named_fde(options: argparse.Namespace) -> str | None:
    name = getattr(options, "fde", "auto")
    return None if name == "none" else name


def check_index(folder: str) -> None:
    """Raise StoreError, which says why, for a folder without an index."""
    from femtosearch.index.stats import describe

    if not holds_index(folder):
        describe(folder)
