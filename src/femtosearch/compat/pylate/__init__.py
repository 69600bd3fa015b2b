"""PyLate's calls: `from femtosearch.compat.pylate import models, rank`."""

from femtosearch.compat.pylate import models, rank

__all__ = ["models", "rank"]
