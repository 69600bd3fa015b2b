"""Frozen dataclasses that are fast to define.

`dataclass` compiles new methods for each class, which was half of the time that a fresh process took to
import this package. Here all classes share one set of methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

T = TypeVar("T")
_set = object.__setattr__


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, eq: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T] | None = None, /, *, eq: bool = True) -> type[T] | Callable[[type[T]], type[T]]:
    """Decorate a class as `dataclass(frozen=True, slots=True)` does. `fields`, `replace` and `asdict` of
    `dataclasses` work with it.

    eq:  whether two objects with equal fields are equal and have one hash; if not, each equals itself alone.

    >>> @frozen
    ... class Place:
    ...     path: str
    ...     line: int = 1
    >>> Place("a.txt"), Place("a.txt") == Place("a.txt", line=1)
    (Place(path='a.txt', line=1), True)
    """
    return _frozen(cls, eq) if cls is not None else lambda decorated: _frozen(decorated, eq)


def _frozen(cls: type[T], eq: bool) -> type[T]:
    defined = vars(cls)
    shared = {**_SHARED, **(_COMPARED if eq else {})}
    cls.__doc__ = cls.__doc__ or cls.__name__  # or the signature would be spelled out, which takes long
    missing = {name: method for name, method in shared.items() if name not in defined}
    rebuilt = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    for name, method in missing.items():
        setattr(rebuilt, name, method)
    return rebuilt


def _init(self: Any, /, *values: Any, **named: Any) -> None:
    cls = type(self)
    names: tuple[str, ...] = cls.__match_args__
    if len(values) > len(names):
        raise TypeError(f"{cls.__name__} takes {len(names)} values, found {len(values)}")
    for name, value in zip(names, values, strict=False):
        _set(self, name, value)
    for name in names[len(values) :]:
        _set(self, name, named.pop(name) if name in named else _default(cls, name))
    if named:
        name = next(iter(named))
        problem = "multiple values for" if name in names else "an unexpected keyword"
        raise TypeError(f"{cls.__name__} got {problem} argument {name!r}")
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _default(cls: Any, name: str) -> Any:
    of_field = cls.__dataclass_fields__[name]
    if of_field.default is not MISSING:
        return of_field.default
    if of_field.default_factory is MISSING:
        raise TypeError(f"{cls.__name__} is missing the argument {name!r}")
    return of_field.default_factory()


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__match_args__)


def _repr(self: Any) -> str:
    fields = self.__dataclass_fields__
    shown = [f"{name}={getattr(self, name)!r}" for name in fields if fields[name].repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _compared(self: Any) -> tuple[Any, ...]:
    fields = self.__dataclass_fields__
    return tuple(getattr(self, name) for name in self.__match_args__ if fields[name].compare)


def _eq(self: Any, other: object) -> Any:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _setattr(self: Any, name: str, value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _setstate(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self.__match_args__, state, strict=True):
        _set(self, name, value)


_SHARED: dict[str, Any] = {
    "__init__": _init,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _values,
    "__setstate__": _setstate,
}
_COMPARED: dict[str, Any] = {"__eq__": _eq, "__hash__": _hash}
