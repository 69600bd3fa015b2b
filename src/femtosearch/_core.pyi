"""The native core. Arrays are borrowed without a copy; `reference` says what is computed.

Every function raises `errors.ShapeError` for arrays that are not as described. threads: 0 uses every core
that this process may use.
"""

import numpy as np
from numpy.typing import NDArray

class Encoder:
    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        layers: int,
        heads: int,
        intermediate_size: int,
        positions: int,
        types: int,
        code_width: int | None,
        norm_epsilon: float,
        weights: dict[str, NDArray[np.float32]],
        dense: list[tuple[NDArray[np.float32], NDArray[np.float32] | None]],
        int8: bool = False,
    ) -> None: ...
    @property
    def dims(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def encode(
        self,
        ids: NDArray[np.int32],
        starts: NDArray[np.int64],
        attended: NDArray[np.int32],
        keep: NDArray[np.bool_],
        threads: int = 0,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]: ...

class Vocabulary:
    """Tokens, each once, and their ids [V]."""

    def __init__(self, tokens: list[str], ids: NDArray[np.int32]) -> None: ...
    def __len__(self) -> int: ...
    def id_of(self, token: str) -> int:
        """-1 if there is no such token."""

    def tokens(self) -> list[str]: ...
    def ids(self) -> NDArray[np.int32]: ...

def read_vocabulary(json: bytes, at: int, highest: int) -> tuple[Vocabulary, int] | None:
    """The JSON object at a byte of a text in UTF-8, whose keys are tokens and whose values are ids, and where
    it ends; None if it is anything else, has a key twice, spells a character by its number, or is empty.
    """

class WordPiece:
    """`model.wordpiece.WordPiece` of a vocabulary; added: (token, id)."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        added: list[tuple[str, int]],
        unknown: int,
        prefix: str,
        longest: int,
        nfkc: bool,
        clean: bool,
        chinese: bool,
        strip: bool,
        lower: bool,
        first: list[int],
        last: list[int],
    ) -> None: ...
    def encode(
        self, texts: list[str], places: bool = False, threads: int = 0
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """ids [T], starts [N+1] and, with places, begins, ends and words [T], which are empty without."""

class Muvera:
    """`fde.reference.muvera`, of planes [bits, R, D], projection [R, p, D] and order [2^bits].

    fill: 0 none, 1 the mean of the nearest rows, 2 the first row of the nearest bucket. final: numbers
    after the count-sketch of places and signs [R · 2^bits · p]; 0 without one.
    """

    def __init__(
        self,
        planes: NDArray[np.float32],
        projection: NDArray[np.float32] | None,
        order: NDArray[np.int32],
        fill: int,
        scale: float,
        final: int,
        places: NDArray[np.int32] | None,
        signs: NDArray[np.float32] | None,
    ) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def encode(
        self, rows: NDArray[np.float32], starts: NDArray[np.int64], documents: bool, threads: int = 0
    ) -> NDArray[np.float32]: ...

class Dense:
    """y = weight x + bias, of weight [out, in] and bias [out]; the same bits for a row beside any others. As
    int8 it is `model.reference_int8.layer`, bit for bit.
    """

    def __init__(
        self, weight: NDArray[np.float32], bias: NDArray[np.float32] | None = None, int8: bool = False
    ) -> None: ...
    def apply(self, rows: NDArray[np.float32], threads: int = 0) -> NDArray[np.float32]: ...

class Anchors:
    """Of texts' rows with anchors [A, D], both as int8 codes: `fde.reference.maxima`, [texts, A]."""

    def __init__(self, anchors: NDArray[np.float32]) -> None: ...
    def maxima(
        self, rows: NDArray[np.float32], starts: NDArray[np.int64], threads: int = 0
    ) -> NDArray[np.float32]: ...

def inner_products(
    vector: NDArray[np.float32],
    blocks: NDArray[np.int8],
    scales: NDArray[np.float32],
    bits: int = 8,
    order: int = 0,
    threads: int = 0,
) -> NDArray[np.float32]:
    """Of a vector [F] with the N coded ones, in an order of `codes.Order`: [ceil(N/16) * 16], zeros for the
    padding.
    """

def nearest(
    vector: NDArray[np.float32],
    size: int,
    parts: list[tuple[NDArray[np.int8], NDArray[np.float32], int, NDArray[np.bool_] | None, int]],
    most: int,
    bits: int = 8,
    coarse: int = 0,
    threads: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`fde.reference.nearest` of codes of F = `size` numbers. parts: (blocks, scales, N, alive, order);
    coarse: above 0 of those with the largest products of the first 128 numbers alone.
    """

def maxsim(
    query: NDArray[np.float32], rows: NDArray[np.float32], starts: NDArray[np.int64], threads: int = 0
) -> NDArray[np.float32]: ...
def maxsim_codes(
    query: NDArray[np.float32],
    parts: list[
        tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64] | None, int]
    ],
    threads: int = 0,
) -> NDArray[np.float32]:
    """MaxSim of each part (blocks, scales, starts, which, bits), end to end: `reference.maxsim_codes` for 8
    bits, `reference.maxsim_levels` for 4.
    """

def distinct(
    rows: NDArray[np.float32],
    starts: NDArray[np.int64],
    most: float,
    first: int = 0,
    last: int = 0,
    threads: int = 0,
) -> NDArray[np.bool_]: ...
def quantise(
    rows: NDArray[np.float32], bits: int = 8, levels: bool = False
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Blocks [ceil(T/16), ceil(D bits/32), 16, 4] and scales [ceil(T/16) * 16] of rows [T, D].

    levels:  of 4 bits, those of turned rows.
    """

def level_rows(values: NDArray[np.int8], scales: NDArray[np.float32], dims: int) -> NDArray[np.float32]:
    """The rows [T, D] that levels stand for, of their bytes row by row [T, W] and scales [T]."""

def check_starts(starts: NDArray[np.int64], rows: int) -> None:
    """Raises ShapeError unless starts rises from 0 to `rows`."""

def kernels() -> list[str]:
    """The instruction sets that this processor has, best first: of avx512, avx2, baseline."""

def kernel() -> str:
    """The instruction set in use: FEMTOSEARCH_KERNEL's, or the best.

    Raises FemtosearchError if FEMTOSEARCH_KERNEL names none of the processor's; so does all that uses one.
    """

def use(name: str) -> None:
    """Uses another instruction set from now on; encoders keep the one that they were made with.

    Raises FemtosearchError if the processor has none of that name.
    """
