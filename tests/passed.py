"""pytest --passed=FILE: tests that the file names are left out, and those that pass now are added to it.

So a second run of one commit, where more packages are installed, repeats nothing but what is marked `again`:
what those tests look at depends on the packages. Without the equals sign pytest would take a file that is
there for tests, before it knows the option.
"""

from pathlib import Path


def pytest_addoption(parser):
    parser.addoption("--passed", type=Path, metavar="FILE", help="leave out tests that passed before")


def pytest_configure(config):
    config.addinivalue_line("markers", "again: it looks at more where more packages are installed")
    path = config.getoption("--passed")
    if path is not None:
        config.pluginmanager.register(Passed(path, writes=not hasattr(config, "workerinput")), "passed")


class Passed:
    """The tests that passed before, and those that pass now.

    writes:  this is not one of several processes that run the tests, but the one that hears of all.
    """

    def __init__(self, path, writes):
        self.path, self.writes, self.outcomes = path, writes, {}
        self.before = set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()

    def pytest_collection_modifyitems(self, config, items):
        left_out = [
            item for item in items if item.nodeid in self.before and not item.get_closest_marker("again")
        ]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in set(left_out)]

    def pytest_runtest_logreport(self, report):
        ran = report.when == "call" or not report.passed
        if ran:
            self.outcomes.setdefault(report.nodeid, True)
            self.outcomes[report.nodeid] &= report.passed

    def pytest_sessionfinish(self):
        if self.writes:
            passed = {name for name, outcome in self.outcomes.items() if outcome and "\n" not in name}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(
                "".join(f"{name}\n" for name in sorted(self.before | passed)), encoding="utf-8"
            )
