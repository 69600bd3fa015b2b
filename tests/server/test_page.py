"""The page in a real headless Chromium: found as typed, lit, filtered, opened by keyboard; no text runs."""

import json
import re
from pathlib import Path

import pytest

from femtosearch.index.index import Index
from femtosearch.server.page import page_policy, page_text

from ..chromium import Page, axe_script, in_chromium
from .conftest import running

DOCS = Path(__file__).parents[2] / "docs"
EVIL = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script> \U0001f600 a bat"
TEXTS = [
    {"id": "cat", "text": "A small cat slept on the sofa all afternoon.", "kind": "animal", "year": 2020},
    {"id": "dog", "text": "The dog ran through the red leaves.", "kind": "animal", "year": 2021},
    {"id": "bread", "text": "Bake the bread for forty minutes.", "kind": "kitchen", "title": "Bread"},
    {"id": "evil", "text": EVIL, "title": "<b>evil</b>", "<i>x</i>": "<u>y</u>"},
    {"id": "notes", "text": "First line.\n" * 60 + "The heron fishes at night.", "path": "notes/birds.md"},
]


def test_the_page_and_its_policy(served):
    status, headers, content = served.ask("GET", "/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert content.decode() == page_text() and headers["content-security-policy"] == page_policy()
    for word in ("http:", "https:", "//", "innerHTML", "eval(", "style=", "onclick", "unsafe"):
        assert word not in page_text().replace("// Python counts", "") + page_policy(), word


@pytest.fixture(scope="module")
def index_folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "notes"
    with Index(folder, model=model) as index:
        index.add(TEXTS)
    return folder


@pytest.fixture(scope="module")
def server(model, index_folder):
    with running(model, [index_folder]) as server:
        yield server


@pytest.fixture
def page(browser, server):
    yield ServedPage(browser, server.url)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


class ServedPage(Page):
    def search(self, text):
        self.type_query(text)
        self.wait(lambda: "hit" in self.status and self.all("#hits article"))
        self.wait(lambda: self.browser.execute_script("return location.hash").startswith("#q="))

    def focused(self):
        return self.browser.execute_script("return document.activeElement.querySelector('h2')?.textContent")


@in_chromium
@pytest.mark.slow
def test_it_finds_as_you_type_and_lights_the_words(page):
    page.wait(lambda: page.status == "5 documents")
    assert not page.all("#unlock")[0].is_displayed() and not page.all("#index")[0].is_displayed()
    page.search("small cat")
    page.wait(lambda: page.titles[0] == "cat")
    assert {mark.text.lower() for mark in page.all("#hits li:first-child mark")} >= {"small", "cat"}
    place = page.all("#hits li:first-child .place")[0].text
    assert re.fullmatch(r"cat, score 0\.\d\d \(meaning 0\.\d\d, words 0\.\d\d\)", place)
    page.search("bread in the oven")
    page.wait(lambda: page.titles[0] == "Bread")
    page.browser.refresh()
    page.wait(lambda: page.titles[:1] == ["Bread"])  # what was asked is in the address
    page.browser.find_element("id", "query").clear()


@in_chromium
@pytest.mark.slow
def test_a_documents_text_is_never_html(page):
    page.search("bat")
    page.wait(lambda: "<b>evil</b>" in page.titles)
    (card,) = [card for card in page.all("#hits article") if "<b>evil</b>" in card.text]
    assert EVIL in card.text and not page.all("#hits img, #hits script, #hits b, #filters i")
    card.find_element("css selector", "button").click()
    page.wait(lambda: page.all("dialog[open]"))
    assert page.all("#source-text")[0].text.endswith(EVIL) and not page.all("dialog img")
    page.press("\ue00c")
    assert page.browser.title == "femtosearch"


@in_chromium
@pytest.mark.slow
def test_filters_come_from_the_metadata(page):
    page.search("the")
    page.wait(lambda: page.all("#filters input"))
    labels = {label.text: label for label in page.all("#filters label")}
    assert {"animal (2)", "kitchen (1)", "2020 (1)", "2021 (1)"} <= set(labels)
    labels["animal (2)"].click()
    page.wait(lambda: sorted(page.titles) == ["cat", "dog"])
    labels["2020 (1)"].click()
    page.wait(lambda: page.titles == ["cat"])
    labels["2020 (1)"].click()
    labels["animal (2)"].click()
    page.wait(lambda: len(page.titles) == 5)


@in_chromium
@pytest.mark.slow
def test_all_of_it_works_by_keyboard(page):
    assert page.browser.execute_script("return document.activeElement.id") == "query"
    page.search("the heron at night")
    page.wait(lambda: page.titles[0] == "notes")
    page.press("\ue015")  # down
    page.wait(lambda: page.focused() == "notes")
    assert "notes/birds.md:" in page.all("#hits .place")[0].text
    page.press("j")
    page.wait(lambda: page.focused() == page.titles[1])
    page.press("k", "\ue007")  # enter
    page.wait(lambda: page.all("dialog[open]"))
    assert "The heron fishes" in page.all("#source-text mark")[0].text
    page.press("\ue00c")  # escape
    page.wait(lambda: not page.all("dialog[open]"))
    page.press("h")
    page.wait(lambda: page.all(".heat td"))
    rows, columns = page.all(".heat tbody tr"), page.all(".heat thead th")
    assert [row.find_element("css selector", "th").text for row in rows].count("heron") == 1
    assert len(page.all(".heat tbody td")) == len(rows) * len(columns)
    page.press("h")
    page.wait(lambda: not page.all(".heat"))
    page.press("/")
    page.wait(lambda: page.browser.execute_script("return document.activeElement.id") == "query")


@in_chromium
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
def test_axe_finds_nothing(page, scheme, width):
    script = axe_script()
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page.browser.set_window_size(width, 800)
    page.search("the small cat")
    page.wait(lambda: page.all("#filters input"))
    page.press("\ue015", "h")
    page.wait(lambda: page.all(".heat td"))
    page.browser.execute_script(script)
    found = page.browser.execute_async_script("axe.run().then(arguments[0])")
    told = [(rule["id"], [node["html"][:100] for node in rule["nodes"]]) for rule in found["violations"]]
    assert told == [] and len(found["passes"]) > 15
    wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.browser.execute_script(wide)
    page.browser.set_window_size(900, 900)


@in_chromium
@pytest.mark.slow
def test_a_key_is_asked_for_and_an_index_chosen(browser, model, index_folder):
    folders = [index_folder, f"again={index_folder}"]
    with running(model, folders, read_keys=["a key to read"]) as server:
        page = ServedPage(browser, server.url)
        page.wait(lambda: page.all("#unlock:not([hidden])"))
        page.all("#key")[0].send_keys("a key to read\n")
        page.wait(lambda: page.status == "10 documents")
        assert [option.text for option in page.all("#index option")] == ["notes", "again"]
        page.all("#index option")[1].click()
        page.search("a small cat")
        page.wait(lambda: page.titles[0] == "cat")
        browser.execute_script("sessionStorage.clear()")
        browser.get_log("browser")  # the answer that asked for the key


def test_the_policy_is_json_safe():
    assert json.dumps(page_policy()) and page_policy().count("sha256-") == 2
