"""Fixed-dimensional encodings (FDE): one vector a text whose inner product approximates MaxSim.

A name is imported when it is first used: most searches make no FDE.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from femtosearch.fde.calibrating import calibrate
    from femtosearch.fde.calibration import Calibration
    from femtosearch.fde.features import Features
    from femtosearch.fde.lemur import Lemur
    from femtosearch.fde.muvera import Matrices, Muvera
    from femtosearch.fde.presets import PRESETS, preset
    from femtosearch.fde.scan import inner_products, nearest
    from femtosearch.fde.stored import Fde, calibrated, described, restore_fde, store_fde

__all__ = [
    "PRESETS", "Calibration", "Fde", "Features", "Lemur", "Matrices", "Muvera", "calibrate", "calibrated",
    "described", "inner_products", "nearest", "preset", "restore_fde", "store_fde",
]  # fmt: skip

_MODULES = {
    **dict.fromkeys(("Matrices", "Muvera"), "muvera"),
    **dict.fromkeys(("PRESETS", "preset"), "presets"),
    **dict.fromkeys(("inner_products", "nearest"), "scan"),
    "Calibration": "calibration",
    "Features": "features",
    "Lemur": "lemur",
    "calibrate": "calibrating",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"femtosearch.fde.{_MODULES.get(name, 'stored')}")
    return globals().setdefault(name, getattr(module, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
