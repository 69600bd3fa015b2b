import shutil
import sys

import pytest

from femtosearch.errors import CheckpointError, FemtosearchError, MissingExtraError
from femtosearch.model.checkpoint.hub import locate, repository
from femtosearch.model.model import Model

from ...tiny import write_tiny_model
from .layouts import write_stanford

COMMITS = ["0" * 39 + "1", "0" * 39 + "2"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The Hub's cache without a connection: someone/tiny in two revisions, the second of which is main."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    home = tmp_path / "hub" / "models--someone--tiny"
    (home / "refs").mkdir(parents=True)
    (home / "blobs").mkdir()
    (home / "refs" / "main").write_text(COMMITS[1])
    for seed, commit in enumerate(COMMITS):
        made = write_tiny_model(tmp_path / f"made-{seed}", seed=seed)
        for path in sorted(path for path in made.rglob("*") if path.is_file()):
            link = home / "snapshots" / commit / path.relative_to(made)
            link.parent.mkdir(parents=True, exist_ok=True)
            blob = home / "blobs" / f"{commit}-{path.relative_to(made).as_posix().replace('/', '-')}"
            shutil.copy(path, blob)
            link.symlink_to(blob)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_on_the_hub_is_a_model(cache):
    model = Model.load("someone/tiny")
    assert model.name == "someone/tiny"
    assert model.fingerprint == Model.load(cache / "made-1").fingerprint
    assert repository(model.source) == "someone/tiny"


def test_a_revision_is_pinned(cache):
    assert (
        Model.load("someone/tiny", revision=COMMITS[0]).fingerprint
        == Model.load(cache / "made-0").fingerprint
    )
    assert Model.load("someone/tiny", revision="main").fingerprint == Model.load(cache / "made-1").fingerprint
    with pytest.raises(CheckpointError, match="the Hub did not give it at revision 'v9'"):
        Model.load("someone/tiny", revision="v9")


def test_a_recipe_names_it_with_the_same_locate(cache):
    sources = pytest.importorskip("femtosearch.train.sources", exc_type=MissingExtraError)
    assert sources.locate("hub:someone/tiny") == locate("someone/tiny")
    with pytest.raises(CheckpointError, match="the Hub did not give it"):
        sources.locate("hub:someone/other")


def test_a_folder_of_that_name_wins(cache):
    write_tiny_model(cache / "someone" / "tiny", seed=7)
    assert Model.load("someone/tiny").name == "tiny"
    with pytest.raises(CheckpointError, match="a revision is of a model on the Hub"):
        Model.load("someone/tiny", revision="main")


def test_what_is_not_in_the_cache_is_said_with_what_to_do(cache):
    with pytest.raises(
        CheckpointError, match=r"'someone/else' is no folder here, and the Hub did not .* connection"
    ):
        Model.load("someone/else")


@pytest.mark.parametrize(
    "source", ["./nowhere", "./someone/tiny", "/someone/tiny", "a/b/c", "someone/", "../tiny"]
)
def test_a_path_is_never_looked_up(cache, source):
    with pytest.raises(CheckpointError, match=r"expected a model folder, .* found nothing"):
        Model.load(source)


def test_only_what_a_model_is_read_from_is_fetched(cache, monkeypatch):
    import huggingface_hub

    asked = []

    def download(name, *, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(made)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for made in (cache / "made-0", write_stanford(cache / "stanford")):
        asked.clear()
        locate("someone/tiny", "v1")
        assert [call[:2] for call in asked] == [("someone/tiny", "v1"), ("someone/tiny", made.name)]
        patterns = {pattern for call in asked for pattern in call[2]}
        assert {"config.json", "tokenizer.json", "model.safetensors", "1_Dense/model.safetensors"} <= patterns
        assert all(pattern.endswith((".json", ".safetensors", ".metadata")) for pattern in patterns)
        assert not any(pattern.startswith("*") for pattern in patterns)


def test_a_repository_cannot_ask_for_files_of_another_place(cache):
    snapshot = cache / "hub" / "models--someone--tiny" / "snapshots" / COMMITS[1]
    (snapshot / "modules.json").unlink()
    (snapshot / "modules.json").write_text('[{"type": "x", "path": "../../../secret"}]')
    with pytest.raises(CheckpointError, match="should stay inside the model folder"):
        Model.load("someone/tiny")


def test_without_the_hubs_library_it_is_named(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install .femtosearch\[hub\]"):
        Model.load("someone/tiny")


def test_pooling_is_a_convention_that_load_can_set(cache):
    plain, pooled = Model.load("someone/tiny"), Model.load("someone/tiny", pool_factor=2)
    assert pooled.conventions.pool_factor == 2
    assert pooled.fingerprint != plain.fingerprint
    text = ["the cat sat on a mat", ""]
    assert [len(rows) for rows in plain.encode_documents(text)] == [9, 3]
    assert [len(rows) for rows in pooled.encode_documents(text)] == [5, 2]
    assert len(pooled.encode_passages(text).rows.rows) == 5
    assert len(pooled.encode_queries(text).rows) == 24
    with pytest.raises(FemtosearchError, match="pool_factor should be a number from 1 up"):
        Model.load("someone/tiny", pool_factor=0.5)
