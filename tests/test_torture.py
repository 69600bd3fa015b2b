"""The torture harness works: each kind plays a round, and one that must find faults finds them."""

import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from torture import crowd, faults, interrupts, report, schedule, shim, slices, together
from torture.counts import Counts
from torture.record import SECTOR, Disk, Entry
from torture.rounds import SHARE, Wrong
from torture.sequence import Progress

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the shim and the limits are Linux's"),
    pytest.mark.skipif(not shutil.which(os.environ.get("CC", "cc")), reason="the shim needs a C compiler"),
]

WITHOUT_SYNC = "powercuts:run_without_sync"
ROUNDS = [
    ("kills", 0),
    ("faults", 3),
    ("powercuts", 0),
    ("powercuts", 3),
    ("interrupts", 1),
    ("together", 2),
    ("together", 4),
    ("files", 0),
    ("files", 3),
    (WITHOUT_SYNC, 0),
]


@pytest.fixture(scope="module")
def counts(tmp_path_factory) -> Iterator[dict[tuple[str, int], Counts]]:
    """One small round of each kind, two at a time."""
    library = shim.compiled(tmp_path_factory.mktemp("shim"))
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv(SHARE, "0.15")
        played = pool.map(lambda round_: slices.run(round_[0], 0, round_[1], library), ROUNDS)
        yield dict(zip(ROUNDS, played, strict=True))


@pytest.mark.parametrize("played", ROUNDS[:-1], ids=lambda played: f"{played[0]}-{played[1]}")
def test_a_round_finds_nothing(counts, played):
    assert counts[played].cases > 1 and counts[played].rounds == 1
    assert [fault.text for fault in counts[played].faults] == []


def test_power_cuts_find_that_segments_are_not_synced(counts):
    assert counts[WITHOUT_SYNC, 0].faulty > 5
    assert any("segment" in fault.text for fault in counts[WITHOUT_SYNC, 0].faults)


def test_every_kind_is_tried_here():
    assert {kind for kind, _ in ROUNDS} == {*slices.KINDS, WITHOUT_SYNC} == {*report.TITLES, WITHOUT_SYNC}


def test_slices_begin_with_every_round():
    for rounds in (len(together._ROUNDS), len(faults.SCENARIOS), len(interrupts.OPERATIONS)):
        assert {number * schedule._STEP % rounds for number in range(rounds)} == set(range(rounds))


def test_a_crowd_tells_an_answer_of_no_commit(tmp_path):
    old, new = {"a": ["x", {"who": "ann", "n": 1}]}, {"b": ["y", {"who": "ann", "n": 50}]}
    progress = Progress(tmp_path / "progress")
    progress.begun, progress.acknowledged = 2, 1
    question = crowd.Question({"ann": [({}, {}), ({}, old), ({}, new)]}, {"ann": progress}, {})
    for answer in (old, new):
        question.check(answer)
    question.check({}, "ann", 20)  # of the second commit what is below 20
    question.check_counts({"ann": 1})
    for answer in ({}, old | new):
        with pytest.raises(Wrong, match="of no commit from 1 to 2"):
            question.check(answer)
    with pytest.raises(Wrong):
        question.check_counts({"ann": 2})


class Every:
    """A random generator that always draws the same."""

    def __init__(self, number: int) -> None:
        self.number = number

    def randrange(self, count: int) -> int:
        return min(self.number, count - 1)

    def random(self) -> float:
        return 0.9


def written(disk: Disk, path: str, handle: int, data: bytes) -> None:
    disk.apply(Entry("open", handle, os.O_CREAT, path.encode(), b""))
    disk.apply(Entry("write", handle, 0, data, b""))


def test_a_cut_leaves_what_was_synced():
    disk = Disk("/d")
    written(disk, "/d/a", 1, b"a" * SECTOR)
    assert disk.now() == {"/d": None, "/d/a": b"a" * SECTOR}
    assert disk.after_a_cut(Every(0)) == {"/d": None}
    assert disk.after_a_cut(Every(1)) == disk.now()  # both the name and the bytes may be there
    disk.apply(Entry("open", 2, 0, b"/d", b""))
    disk.apply(Entry("sync", 2, 0, b"", b""))
    assert disk.after_a_cut(Every(0)) == {"/d": None, "/d/a": b""}  # the name is synced, the bytes are not
    disk.apply(Entry("sync", 1, 0, b"", b""))
    assert disk.after_a_cut(Every(0)) == disk.now()
    disk.apply(Entry("rename", 0, 0, b"/d/a", b"/d/b"))
    assert set(disk.after_a_cut(Every(0))) == {"/d", "/d/a"}
    assert disk.now() == {"/d": None, "/d/b": b"a" * SECTOR}


def test_a_folder_that_is_renamed_takes_along_what_is_in_it():
    disk = Disk("/d")
    disk.apply(Entry("mkdir", 0, 0, b"/d/old", b""))
    written(disk, "/d/old/a", 1, b"x")
    for handle, path in ((1, None), (2, b"/d/old"), (3, b"/d")):
        if path:
            disk.apply(Entry("open", handle, 0, path, b""))
        disk.apply(Entry("sync", handle, 0, b"", b""))
    disk.apply(Entry("rename", 0, 0, b"/d/old", b"/d/new"))
    assert disk.now() == {"/d": None, "/d/new": None, "/d/new/a": b"x"}
    assert disk.after_a_cut(Every(0)) == {"/d": None, "/d/old": None, "/d/old/a": b"x"}
    assert disk.after_a_cut(Every(1)) == disk.now()


def test_a_sync_that_is_ignored_keeps_nothing():
    disk = Disk("/d", lambda path: path.endswith(".seg"))
    for handle, path in enumerate(("/d/1.seg", "/d/catalog.db"), 1):
        written(disk, path, handle, b"x")
        disk.apply(Entry("sync", handle, 0, b"", b""))
    disk.apply(Entry("open", 3, 0, b"/d", b""))
    disk.apply(Entry("sync", 3, 0, b"", b""))
    assert disk.after_a_cut(Every(0)) == {"/d": None, "/d/1.seg": b"", "/d/catalog.db": b"x"}


def test_a_child_that_dies_is_a_fault(tmp_path, monkeypatch):
    (tmp_path / "python").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    played = slices.run("kills", 0, 7)
    assert played.faulty == 1 and played.faults[0].seed == 7
    assert "ended with 3: broken" in played.faults[0].text
    assert played.faults[0].replay == "python -m torture --kind kills --seed 7"


def test_the_page_gets_the_table(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    counts = Counts("kills")
    counts.case("add", 1234)
    counts.fault("add", "lost")
    for _ in range(2):  # and once more in the place of itself
        report.write_page(page, report.document({"kills": counts}, 20, 5))
    text = page.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n") and text.endswith(f"{report.END}\nafter\n")
    assert text.count("| `kills` | **processes killed** | 1,234 | 1 |") == 1 and "old" not in text
    (tmp_path / "plain.md").write_text("text")
    with pytest.raises(ValueError, match="expected the lines"):
        report.write_page(tmp_path / "plain.md", report.document({}, 20, 5))


def test_reliability_has_the_place_for_the_table():
    text = (Path(__file__).parent.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert text.index(report.BEGIN) < text.index(report.END)
