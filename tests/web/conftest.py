import json
import shutil
import subprocess
from pathlib import Path

import pytest

from femtosearch.index.index import Index
from femtosearch.web.site import write_site

DOCS = Path(__file__).parents[2] / "docs"
NODE = shutil.which("node")
ASK = """
const [site, questions] = process.argv.slice(1), fs = require("fs");
const FemtoSearch = require(site + "/search.js");
FemtoSearch.open(fs.readFileSync(site + "/search.bin")).then((engine) => {
  const answers = JSON.parse(fs.readFileSync(questions, "utf8")).map(QUESTION);
  process.stdout.write(JSON.stringify(answers));
});
"""
in_node = pytest.mark.skipif(NODE is None, reason="needs Node")


def documents_of_docs():
    """This project's pages as documents, a section each."""
    for page in sorted(DOCS.rglob("*.md")):
        name = page.relative_to(DOCS).with_suffix("").as_posix()
        for number, section in enumerate(page.read_text(encoding="utf-8").split("\n## ")):
            title = section.partition("\n")[0].lstrip("# ")
            yield {"id": f"{name}-{number}", "text": section, "title": title, "url": f"{name}.html"}


@pytest.fixture(scope="session")
def docs_index(tmp_path_factory):
    with Index(tmp_path_factory.mktemp("web") / "docs") as index:
        index.add(documents_of_docs())
        yield index


@pytest.fixture(scope="session")
def docs_site(docs_index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "site"
    write_site(docs_index, folder, title="Pages & more")
    return folder


@pytest.fixture(scope="session")
def whole_site(docs_index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "whole"
    write_site(docs_index, folder, whole_rows=True)
    return folder


@pytest.fixture
def in_page(tmp_path):
    """in_page(site, questions, javascript) asks each question of a site in Node: the answers."""

    def ask(site, questions, javascript):
        path = tmp_path / "questions.json"
        path.write_text(json.dumps(questions), encoding="utf-8")
        code = ASK.replace("QUESTION", javascript)
        command = [NODE, "-e", code, str(site), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask
