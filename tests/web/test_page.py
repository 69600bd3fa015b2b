"""The page in a real headless Chromium: served and from the disk, by keyboard, and no text runs."""

import contextlib
import functools
import http.server
import threading

import pytest

from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.web.site import write_site

from ..chromium import Page, axe_script, in_chromium

EVIL = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script> \U0001f600 a bat"
TEXTS = [
    {"id": "cat", "text": "A small cat slept on the sofa all afternoon.", "url": "pages/cat.html"},
    {"id": "bread", "text": "Bake the bread for forty minutes.", "title": "Bread"},
    {"id": "evil", "text": EVIL, "title": "<b>evil</b>", "url": "javascript:document.title='evil'"},
    {"id": "notes", "text": "\U0001f600 First line.\n" * 90 + "The heron fishes at night."},
]
pytestmark = [pytest.mark.slow, in_chromium]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder):
    """The address of a folder, as any server of files has it."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The address of a folder's site and of one file."""
    root = tmp_path_factory.mktemp("sites")
    with Index(model=Model.load("femto")) as index:
        index.add(TEXTS)
        write_site(index, root / "site", title="Cats & <dogs>")
        write_site(index, root / "page.html", title="Cats & <dogs>")
    with served(root / "site") as address:
        file, disk = (root / "page.html").as_uri(), (root / "site" / "index.html").as_uri()
        yield {"folder": address, "file": file, "disk": disk}


class SitePage(Page):
    patience = 60

    def search(self, text, first):
        self.wait(lambda: "documents" in self.status or "hit" in self.status)
        self.type_query(text)
        self.wait(lambda: self.titles[:1] == [first])

    def run(self, code):
        return self.browser.execute_script(code)


@pytest.fixture(params=["folder", "file"])
def page(browser, places, request):
    yield SitePage(browser, places[request.param])
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_it_finds_as_you_type(page):
    page.wait(lambda: page.status.startswith("4 documents"))
    assert page.browser.title == "Cats & <dogs>"
    page.search("small cat", "cat")
    assert {mark.text.lower() for mark in page.all("#hits li:first-child mark")} == {"small", "cat"}
    assert page.all("#hits li:first-child a")[0].get_attribute("href").endswith("/pages/cat.html")
    page.search("bread in the oven", "Bread")
    page.browser.refresh()
    page.wait(lambda: page.titles[:1] == ["Bread"])  # what was asked is in the address
    page.browser.find_element("id", "query").clear()
    page.browser.find_element("id", "query").send_keys("?!")
    page.wait(lambda: page.status == "The model knows no word of this" and not page.titles)


def test_a_documents_text_is_never_html(page):
    page.search("a bat", "<b>evil</b>")
    card = page.all("#hits article")[0]
    assert EVIL in card.text and not page.all("#hits img, #hits script, #hits b, #hits li:first-child a")
    card.find_element("css selector", "button").click()
    page.wait(lambda: page.all("dialog[open]"))
    assert page.all("#source-text")[0].text.endswith(EVIL) and not page.all("dialog img")
    page.press("\ue00c")
    assert page.browser.title == "Cats & <dogs>"


def test_all_of_it_works_by_keyboard(page):
    page.search("the heron at night", "notes")
    page.press("\ue015")  # down
    page.wait(lambda: page.run("return document.activeElement.querySelector('h2')?.textContent") == "notes")
    page.press("j", "k", "\ue007")  # enter
    page.wait(lambda: page.all("dialog[open]"))
    assert "The heron fishes at night." in page.all("#source-text mark")[0].text
    page.press("\ue00c")  # escape
    page.wait(lambda: not page.all("dialog[open]"))
    page.press("/")
    page.wait(lambda: page.run("return document.activeElement.id") == "query")


@pytest.mark.parametrize("idle", ["requestIdleCallback", None])
def test_what_is_shown_becomes_exact(browser, docs_index, docs_site, idle):
    with served(docs_site) as address:
        page = SitePage(browser, address)
        page.run("" if idle else "window.requestIdleCallback = undefined")
        page.wait(lambda: "documents" in page.status)
        page.browser.find_element("id", "query").send_keys("what survives a power cut")
        page.wait(lambda: page.run("return engine.waiting") == 0)
        hits = docs_index.search("what survives a power cut", mode="maxsim", hybrid=0)
        page.wait(lambda: page.titles == [hit.metadata["title"] for hit in hits])
        scores = [place.text.rpartition(" ")[2] for place in page.all("#hits .place")]
        assert scores == [f"{hit.score:.2f}" for hit in hits]


def test_a_folder_on_the_disk_says_what_to_do(browser, places):
    page = SitePage(browser, places["disk"])
    page.wait(lambda: "python -m http.server" in page.status)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
def test_axe_finds_nothing(browser, places, scheme, width):
    script = axe_script()
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.set_window_size(width, 800)
    page = SitePage(browser, places["folder"])
    page.search("the small cat", "cat")
    page.run(script)
    report = browser.execute_async_script("axe.run().then(arguments[0])")
    told = [(rule["id"], [node["html"][:100] for node in rule["nodes"]]) for rule in report["violations"]]
    assert told == [] and len(report["passes"]) > 15
    wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.run(wide)
    browser.set_window_size(900, 900)
