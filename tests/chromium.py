"""A headless Chromium, and a page in it as a person with a keyboard has it."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
in_chromium = pytest.mark.skipif(
    not (CHROMIUM and shutil.which("chromedriver") and find_spec("selenium")),
    reason="needs chromium, chromium-driver and selenium",
)


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=900,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def axe_script():
    """axe's program; the test is skipped where it is not installed."""
    axe = find_spec("axe_selenium_python")
    if axe is None:
        pytest.skip("needs axe-selenium-python")
    return next(Path(axe.origin).parent.rglob("axe.min.js")).read_text(encoding="utf-8")


class Page:
    """A search page. patience: seconds that it may take for what is waited for."""

    patience = 20

    def __init__(self, browser, address):
        self.browser = browser
        browser.get("about:blank")
        browser.get(address)

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def wait(self, condition):
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        ignored = [StaleElementReferenceException]
        return WebDriverWait(self.browser, self.patience, ignored_exceptions=ignored).until(
            lambda _: condition()
        )

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def type_query(self, text):
        box = self.browser.find_element("id", "query")
        box.clear()
        box.send_keys(text)

    @property
    def status(self):
        return self.browser.find_element("id", "status").text

    @property
    def titles(self):
        return [title.text for title in self.all("#hits h2")]
