"""Filters on metadata: read from mappings or from words, and compiled to SQL."""

from femtosearch.index.where.language import parse
from femtosearch.index.where.mapping import read_filter
from femtosearch.index.where.sql import EVERYTHING, Condition, compile_filter, values_of
from femtosearch.index.where.tree import Either, Every, Filter, Negation, Test, tests_of

__all__ = [
    "EVERYTHING", "Condition", "Either", "Every", "Filter", "Negation", "Test", "compile_filter", "parse",
    "read_filter", "tests_of", "values_of",
]  # fmt: skip
