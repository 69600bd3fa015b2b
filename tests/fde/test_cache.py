"""What was solved for is kept: used as it is, never where it is damaged, and not needed."""

import gc
import os
import signal
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from femtosearch import system
from femtosearch.fde import cache as module
from femtosearch.fde import lemur as lemurs
from femtosearch.fde.cache import cached, digest_of
from femtosearch.fde.whitening import Bands, bands_of, factor_forms, shapes_of
from femtosearch.tensors import tensor_bytes

from .test_lemur import ROWS, features, lemur

SIZE = 300
BANDS = bands_of(np.tril(np.random.default_rng(0).standard_normal((SIZE, SIZE))))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where files are kept, which is not made yet."""
    monkeypatch.delenv(module.NO_CACHE, raising=False)
    monkeypatch.setenv("FEMTOSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fde"


class Solving:
    """Solves for BANDS, and counts how often."""

    def __init__(self, bands=BANDS):
        self.bands, self.count = bands, 0

    def __call__(self):
        self.count += 1
        return self.bands


def ask(name="a", size=SIZE, bands=BANDS):
    """How often it was solved, once it has given the right bands."""
    solve = Solving(bands)
    arrays = cached(name, factor_forms(size), solve)
    assert [band.tobytes() for band in arrays] == [band.tobytes() for band in bands]
    return solve.count


def test_it_is_solved_once(folder):
    assert [ask(), ask(), ask("b"), ask("b"), ask()] == [1, 0, 1, 0, 0]
    assert sorted(file.name for file in folder.iterdir()) == ["a.safetensors", "b.safetensors"]
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("at", [0, 4, 40, 400, 4000, -1])
def test_a_damaged_file_is_solved_anew(folder, at):
    ask()
    file = folder / "a.safetensors"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    assert [ask(), ask()] == [1, 0]


@pytest.mark.parametrize("length", [0, 7, 100, 1000, -1])
def test_a_file_cut_short_is_solved_anew(folder, length):
    ask()
    file = folder / "a.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    assert [ask(), ask()] == [1, 0]


def test_the_file_of_another_size_or_name_is_not_used(folder):
    other = bands_of(np.eye(64))
    ask(bands=other, size=64)
    assert ask() == 1
    (folder / "a.safetensors").rename(folder / "b.safetensors")
    assert ask("b") == 1


def test_numbers_that_are_not_finite_are_not_used(folder):
    bad = [band.copy() for band in BANDS]
    bad[1][3, 4] = np.nan
    ask(bands=BANDS)
    file = folder / "a.safetensors"
    tensors = {f"band.{number}": band for number, band in enumerate(bad)}
    file.write_bytes(tensor_bytes(tensors, {"checksum": module._checksum(file, bad)}))
    assert ask() == 1


@pytest.mark.parametrize("metadata", [{}, {"checksum": "00000000"}, {"checksum": [1]}])
def test_a_file_without_its_checksum_is_not_used(folder, metadata):
    folder.mkdir(parents=True)
    tensors = {f"band.{number}": band for number, band in enumerate(BANDS)}
    (folder / "a.safetensors").write_bytes(tensor_bytes(tensors, metadata))
    assert ask() == 1


def test_without_a_cache_all_works(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(module.NO_CACHE, "1")
    assert [ask(), ask()] == [1, 1] and not folder.exists()
    monkeypatch.delenv(module.NO_CACHE, raising=False)
    (tmp_path / "cache").write_text("a file")
    assert [ask(), ask()] == [1, 1]
    monkeypatch.delenv("FEMTOSEARCH_CACHE")
    monkeypatch.setattr(system, "cache_folder", homeless)
    assert [ask(), ask()] == [1, 1]


def homeless():
    raise RuntimeError("no home")


def test_a_write_that_fails_leaves_nothing(folder, monkeypatch):
    monkeypatch.setattr(system, "sync", full)
    assert [ask(), ask()] == [1, 1] and list(folder.iterdir()) == []


def full(descriptor):
    raise OSError(28, "No space left on device")


def test_a_folder_or_a_pipe_in_its_place_holds_nobody_up(folder):
    (folder / "a.safetensors").mkdir(parents=True)
    assert [ask(), ask()] == [1, 1]
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "b.safetensors")
        assert ask("b") == 1


def test_the_latest_few_are_kept(folder):
    for number in range(module.MOST_FILES + 3):
        ask(f"{number}")
        os.utime(folder / f"{number}.safetensors", (number, number))
    assert len(list(folder.iterdir())) == module.MOST_FILES
    assert ask(f"{module.MOST_FILES + 2}") == 0 and ask("0") == 1


def test_what_is_too_large_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    assert [ask(), ask()] == [1, 1] and not folder.exists()


def test_the_name_tells_all_apart_that_the_numbers_follow_from(kernel):
    arrays = [np.arange(6, dtype=np.float32), np.ones((2, 3), np.int8)]
    name = digest_of(arrays, 0.1, 64)
    others = [
        digest_of(arrays, 0.1, 128),
        digest_of(arrays, 0.2, 64),
        digest_of([arrays[0] + np.float32(1e-6), arrays[1]], 0.1, 64),
        digest_of([arrays[0], arrays[1].reshape(3, 2)], 0.1, 64),
        digest_of([arrays[0].view(np.int32), arrays[1]], 0.1, 64),
    ]
    assert len({name, *others}) == 6 and name == digest_of([array.copy() for array in arrays], 0.1, 64)


def test_the_name_depends_on_the_instruction_set(monkeypatch):
    before = digest_of([], 0.1, 64)
    monkeypatch.setattr(module._core, "kernel", lambda: "another")
    assert digest_of([], 0.1, 64) != before


def test_an_fde_from_the_cache_gives_the_same_bits(folder):
    first = lemur()
    solved = first.documents(ROWS).tobytes(), first.queries(ROWS, numbers=64).tobytes()
    del first  # with which goes what it has solved for
    again = lemur()
    names = sorted(file.name for file in folder.iterdir())
    assert len(names) == 3  # two factors and a read-out
    stamps = [(folder / name).stat().st_mtime_ns for name in names]
    assert (again.documents(ROWS).tobytes(), again.queries(ROWS, numbers=64).tobytes()) == solved
    assert [(folder / name).stat().st_mtime_ns for name in names] == stamps
    other = lemur(features=features(seed=9))
    other.documents(ROWS)
    assert len(list(folder.iterdir())) == 5


def test_a_process_solves_once_for_all_that_use_it(monkeypatch):
    """As many shards do that are opened at once; without a cache, too."""
    monkeypatch.setenv(module.NO_CACHE, "1")
    solved = []
    factor = lemurs.inverse_factor
    monkeypatch.setattr(lemurs, "inverse_factor", lambda *given: solved.append(1) or factor(*given))
    several = [lemur() for _ in range(8)]
    with ThreadPoolExecutor(len(several)) as threads:
        answers = {answer.tobytes() for answer in threads.map(lambda fde: fde.documents(ROWS), several)}
    assert len(answers) == 1 and len(solved) == 1
    before = len(module._in_use)
    several.clear()
    gc.collect()
    assert len(module._in_use) < before
    assert lemur().documents(ROWS).tobytes() in answers and len(solved) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_meanwhile_does_not_wait(monkeypatch):
    locked, over = threading.Event(), threading.Event()

    def make():
        locked.set()
        over.wait()
        return Bands([])

    thread = threading.Thread(target=module.shared, args=("a", make))
    thread.start()
    locked.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if module.shared("b", lambda: Bands([])) else 1)
    over.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("size", [64, 256, 300, 512, 700])
def test_bands_are_the_whole_matrix_bit_for_bit(kernel, size):
    draw = np.random.default_rng(size)
    triangle = np.tril(draw.standard_normal((size, size)))
    bands = bands_of(triangle)
    assert [band.shape for band in bands] == shapes_of(size)
    rows = draw.standard_normal((7, size)).astype(np.float32)
    whole = Bands([triangle.astype(np.float32)])
    found = Bands(iter(bands)).apply(rows)
    assert found.tobytes() == whole.apply(rows).tobytes() == Bands(bands).apply(rows, 3).tobytes()
    np.testing.assert_allclose(found, rows @ triangle.T, rtol=1e-3, atol=1e-3)
