"""Whether an index holds one of the states that it may hold, and answers as a fresh index of that state."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from femtosearch import Index, Model, QueryError
from tests.fakes import FakeModel
from torture.operations import FDES, IDS, RECORDS, State
from torture.rounds import Wrong

FAKE = FakeModel()
MODES = ("maxsim", "fde")
_SEARCHES = ("word1 word2 word3", "word30")
_ALL = 999
_SWEEPER = "sweeper"
_EXACT, _ROUGH = 1e-3, float("inf")  # tolerance of scores, by their size

Answer = dict[str, tuple[float, Any]]


class WithoutFde:
    """A model that encodes as another does, and brings no FDE of its own."""

    def __init__(self, model: Model) -> None:
        self.name, self.fingerprint, self.dims = model.name, model.fingerprint, model.dims
        self.encode_passages, self.encode_queries = model.encode_passages, model.encode_queries


@lru_cache
def femto() -> WithoutFde:
    """The smallest built-in model."""
    return WithoutFde(Model.load("femto"))


def read(index: Index) -> dict[str, list[Any]]:
    """All documents by id, read one by one. Raises Wrong where their number is another."""
    documents = {d.id: [d.text, d.metadata] for i in (*IDS, *RECORDS, _SWEEPER) if (d := index.get(i))}
    if len(index) != len(documents):
        raise Wrong(f"{len(documents)} documents can be read and len is {len(index)}")
    return documents


def check(index: Index, states: list[State]) -> State:
    """The state that the index is in, of those that it may be in. Raises Wrong.

    It is in one if its documents are that one's and its answers, scores and all, those of a fresh index.
    """
    documents = read(index)
    likely = sorted((s for s in states if s.documents == documents), key=lambda state: not state.rough)
    if not likely:
        raise Wrong(f"holds {_short(documents)}, expected {' or '.join(_short(s.documents) for s in states)}")
    tolerance = _ROUGH if any(state.rough for state in likely) else _EXACT
    for text in _SEARCHES:
        for mode in ("maxsim", "auto"):  # by meaning alone, and with words
            expected = _fresh(index.model, likely[0].key(), text, mode)
            _compare(answer(index, text, mode), expected, text, tolerance)
    return _by_fde(index, likely)


def check_folder(folder: Path, states: list[State], model: Any = FAKE, *, mends: bool = False) -> State:
    """The state of the index in a folder, opened anew; then whether a write removes what is no use.

    mends:  it may be damaged, and is repaired first.
    Raises Wrong, and what the index raises.
    """
    with Index(folder, model=model) as index:
        if mends and (lost := index.repair().lost):
            raise Wrong(f"a repair leaves {lost[:3]}")
        state = check(index, states)
        index.add([{"id": _SWEEPER, "text": "word0"}])
        index.delete(_SWEEPER)
        check(index, [state])
        segments = index.stats().segments
        files = sorted(path.name for path in (folder / "segments").iterdir())
    if len(files) != segments or any("part" in name for name in files):
        raise Wrong(f"{segments} segments count and the folder has {files}")
    pieces = [path.name for path in folder.iterdir() if "part" in path.name]
    if pieces:
        raise Wrong(f"the folder still has {pieces}")
    return state


def answer(index: Index, text: str, mode: str) -> Answer:
    """All hits of a query by id. Raises Wrong where an id comes twice."""
    hits = index.search(text, k=_ALL, mode=mode)
    answers = {hit.id: (hit.score, [hit.text, hit.metadata, list(hit.passage or ())]) for hit in hits}
    if len(answers) != len(hits):
        raise Wrong(f"{text!r} finds a document twice: {[hit.id for hit in hits]}")
    return answers


def _by_fde(index: Index, states: list[State]) -> State:
    """The state whose FDE the index has."""
    faults = []
    for state in states:
        try:
            if (index.stats().fde is None) != (FDES[state.fde] is None):
                raise Wrong(f"has the FDE {index.stats().fde}, expected {FDES[state.fde]}")
            if state.fde:
                tolerance = _ROUGH if any(state.rough for state in states) else _EXACT
                _compare(*_both_by_fde(index, state), _SEARCHES[0], tolerance)
            return state
        except Wrong as wrong:
            faults.append(str(wrong))
    raise Wrong("; ".join(faults))


def _both_by_fde(index: Index, state: State) -> tuple[Answer, Answer]:
    """The answers of an index and a fresh one by the FDE; empty ones where there are no FDEs yet."""
    try:
        return answer(index, _SEARCHES[0], "fde"), _fresh(index.model, state.key(), _SEARCHES[0], "fde")
    except QueryError:
        return {}, {}


def _compare(answers: Answer, expected: Answer, text: str, tolerance: float) -> None:
    if answers.keys() != expected.keys():
        raise Wrong(f"{text!r} finds {sorted(answers)}, a fresh index {sorted(expected)}")
    for name, (score, content) in answers.items():
        right, its = expected[name]
        if tolerance == _ROUGH:  # another passage may be the best
            content, its = content[:2], its[:2]
        if content != its or abs(score - right) > tolerance * max(1.0, abs(right)):
            raise Wrong(f"{text!r} finds {name!r} as {score} {content}, a fresh index as {right} {its}")


@lru_cache(maxsize=2000)
def _fresh(model: Any, key: str, text: str, mode: str) -> Answer:
    """What an index in memory that was never anything but the state with that key answers."""
    state = State.of_key(key)
    with Index(model=model, fde=FDES[state.fde]) as index:
        index.add([{"id": i, "text": t, **metadata} for i, (t, metadata) in state.documents.items()])
        return answer(index, text, mode)


def _short(documents: dict[str, list[Any]]) -> str:
    return repr({name: content[0] for name, content in sorted(documents.items())})[:200]
