"""Where training computes."""

from __future__ import annotations

import torch

from femtosearch.errors import RecipeError

DEVICES = ("cpu", "cuda")


def chosen(name: str | None = None) -> torch.device:
    """The device of this name, one of DEVICES; none: a GPU if there is one. Raises RecipeError for a GPU that
    torch does not see.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise RecipeError("device: torch sees no GPU; leave --device out to train on the CPU")
    return torch.device(name or ("cuda" if there else "cpu"))
