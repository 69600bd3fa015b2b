"""Texts -> rows: models, their tokenizers and engines."""

from femtosearch.model.model import Model

__all__ = ["Model"]
