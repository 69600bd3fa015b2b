"""Frozen dataclasses of ours are the standard library's, but for how they are made."""

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace

import pytest

from femtosearch.frozen import frozen


@frozen
class Ours:
    """Doc."""

    a: int
    b: str = "x"
    c: list[int] = field(default_factory=list, repr=False)
    d: float = field(default=0.5, compare=False)

    @property
    def twice(self):
        return 2 * self.a


@dataclass(frozen=True, slots=True)
class Theirs:
    """Doc."""

    a: int
    b: str = "x"
    c: list[int] = field(default_factory=list, repr=False)
    d: float = field(default=0.5, compare=False)

    @property
    def twice(self):
        return 2 * self.a


@frozen(eq=False)
class Alone:
    """Equals itself alone."""

    a: int

    def __post_init__(self):
        if self.a < 0:
            raise ValueError("a: expected 0 or more")

    def __len__(self):
        return self.a


@frozen
class Key:
    """Hashable."""

    a: int
    b: tuple[int, ...] = ()

    def __repr__(self):
        return "its own"


@pytest.mark.parametrize(
    ("values", "named"),
    [((1,), {}), ((1, "y"), {}), ((), {"a": 2}), ((1,), {"d": 3.0, "c": [1]}), ((1, "y", [2], 4.0), {})],
)
def test_they_hold_and_show_the_same(values, named):
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert asdict(ours) == asdict(theirs) and repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert [f.name for f in fields(ours)] == [f.name for f in fields(theirs)] and ours.twice == theirs.twice
    assert is_dataclass(ours) and Ours.__match_args__ == Theirs.__match_args__ and Ours.__doc__ == "Doc."
    assert asdict(replace(ours, b="z")) == asdict(replace(theirs, b="z"))
    for twin in (copy.copy(ours), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert twin == ours and asdict(twin) == asdict(ours) and twin is not ours


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, "y", [], 1.0, 5), {}), ((1,), {"a": 1}), ((1,), {"e": 1}), ((), {"b": "y"})],
)
def test_they_refuse_the_same(values, named):
    for kind in (Ours, Theirs):
        with pytest.raises(TypeError):
            kind(*values, **named)


def test_nothing_is_set_or_deleted():
    for made in (Ours(1), Theirs(1)):
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'a'"):
            made.a = 2
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'a'"):
            del made.a
        with pytest.raises((FrozenInstanceError, TypeError)):
            made.other = 1
        assert not hasattr(made, "__dict__") and made.a == 1


def test_equality_and_hashes():
    assert Ours(1) == Ours(1, d=9.0) != Ours(2) and Ours(1) != Theirs(1) and Ours(1) != 1
    assert hash(Key(1, (2,))) == hash(Key(1, (2,))) and len({Key(1), Key(1), Key(2)}) == 2
    with pytest.raises(TypeError):
        hash(Ours(1))  # a list is in it
    alone = Alone(1)
    assert alone == alone and alone != Alone(1) and len({alone, Alone(1)}) == 2 and len(alone) == 1


def test_a_class_keeps_what_it_has_itself():
    assert repr(Key(1)) == "its own"
    with pytest.raises(ValueError, match="0 or more"):
        Alone(-1)
    match Key(3, (4,)):
        case Key(a, (b,)):
            assert (a, b) == (3, 4)


def test_defaults_are_made_for_each():
    first, second = Ours(1), Ours(1)
    first.c.append(1)
    assert second.c == []
