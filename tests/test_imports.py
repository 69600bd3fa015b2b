"""Imports point one way, and importing the package brings nothing heavy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import femtosearch

pytestmark = pytest.mark.again

ROOT = Path(femtosearch.__file__).parent

# From the ground up: a module imports only from rooms before its own, or from its own package.
ROOMS = [
    ["frozen"],
    ["errors", "system", "types", "_core"],
    ["codes", "disk", "progress", "reference", "scoring", "tensors"],
    ["model.checkpoint", "fde"],
    ["model"],
    ["index"],
    ["read"],
    ["compat", "evaluation", "server", "web"],
    ["cli"],
    ["train"],
]
# Inside `index`: the road in and the road out stand on one ground, and never import each other.
ROAD_IN = {"commit", "rewrite", "writer", "repair", "adopt"}
ROAD_OUT = {"request", "plan", "snapshot", "snapshots", "search", "rerank", "filtering", "hits", "keywords"}
ROAD_OUT |= {"fusion", "explain", "backup", "export", "word_table", "ranking", "rescoring", "own_queries"}
ENTRANCES = {"__init__", "index", "stats", "contents", "upkeep", "shard"}
FLOOR = {name: number for number, names in enumerate(ROOMS) for name in names}
MOST_MODULES, MOST_FOLDERS = 12, 10
SOURCES = [path for path in ROOT.rglob("*.py") if path.parent != ROOT or not path.name.startswith("__")]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "femtosearch" else [node.module]


def room_of(parts):
    """The room of a module, whose path in the package is parts: the smallest that has it."""
    inner = ".".join(parts[:2])
    return inner if inner in FLOOR else parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    room = room_of(path.relative_to(ROOT).with_suffix("").parts)
    for name in imports(path):
        if name.startswith("femtosearch."):
            other = room_of(name.split(".")[1:])
            assert other == room or FLOOR[other] < FLOOR[room], f"{room} imports {name}"


def test_the_package_shows_few_rooms_at_once():
    assert len(list(ROOT.glob("*.py"))) <= MOST_MODULES
    assert len([path for path in ROOT.iterdir() if (path / "__init__.py").is_file()]) <= MOST_FOLDERS


@pytest.mark.parametrize("path", sorted((ROOT / "index").glob("*.py")), ids=lambda path: path.stem)
def test_the_two_roads_of_the_index_never_meet(path):
    names = {name.split(".")[2] for name in imports(path) if name.startswith("femtosearch.index.")}
    if path.stem in ROAD_IN:
        assert not names & (ROAD_OUT | ENTRANCES)
    elif path.stem in ROAD_OUT:
        assert not names & (ROAD_IN | ENTRANCES)
    elif path.stem not in ENTRANCES:
        assert not names & (ROAD_IN | ROAD_OUT | ENTRANCES)


def test_the_map_of_the_index_has_every_module():
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## Inside the index\n")
    words = set(re.findall(r"\w+", section.partition("\n**Writing.**")[0]))
    modules = {path.stem for path in (ROOT / "index").glob("*.py")} - {"__init__"}
    assert modules - words == set()


def test_importing_the_package_brings_nothing():
    code = "import femtosearch, sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "numpy" not in loaded.splitlines()


def test_what_the_package_has_brings_only_numpy():
    code = "from femtosearch import *; import sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    found = {name.split(".")[0] for name in loaded.splitlines()}
    assert "numpy" in found
    heavy = {"tokenizers", "torch", "transformers", "huggingface_hub", "pyarrow", "pandas", "scipy"}
    assert not found & heavy
