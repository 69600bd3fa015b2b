"""A file as the entry that is read of it, or as what is told of one that is not read."""

import pytest

from femtosearch.read import Options, read
from femtosearch.read.documents import FileReader
from femtosearch.read.walk import walk


@pytest.fixture
def entry(tmp_path):
    """entry(name, content) is the one entry of a file."""

    def entry(name, content, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        [file] = walk([path]).files
        [named] = FileReader(Options(**options)).read(file)
        return named.entry

    return entry


@pytest.fixture
def refusal(tmp_path):
    """refusal(name, content) is what is told of a file in a folder that is not read."""

    def refusal(name, content):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        reading = read([tmp_path / "d"])
        assert list(reading) == []
        [skipped] = reading.skipped
        return skipped.reason

    return refusal
