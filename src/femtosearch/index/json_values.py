"""Values of Python and databases as JSON: metadata and filters convert them by the same rules."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np


def json_scalar(value: Any) -> Any:
    """Convert a date or time to ISO text, and a number of numpy or a Decimal to Python's; other values stay.

    >>> json_scalar(date(2026, 11, 5)), json_scalar(np.int64(7)), json_scalar(Decimal("1.5"))
    ('2026-11-05', 7, 1.5)
    """
    if isinstance(value, (date, time)):  # a datetime is a date, too
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return value.item() if isinstance(value, (np.number, np.bool_)) else value


def without_nan(value: Any) -> Any:
    """Replace each NaN in a value, which tables use for a missing number, by None.

    >>> without_nan({"a": [1.5, float("nan")], "b": "text"})
    {'a': [1.5, None], 'b': 'text'}
    """
    if isinstance(value, dict):
        return {name: without_nan(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value
