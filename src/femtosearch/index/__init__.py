"""Documents, kept in a folder or in memory, and found by meaning."""

from femtosearch.index.index import Index

__all__ = ["Index"]
