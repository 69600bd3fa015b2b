"""Fixed-dimensional encodings (FDE): one vector a text whose inner product approximates MaxSim."""

from femtosearch.fde.calibrate import calibrate
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
