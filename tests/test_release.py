"""A release: versions agree, the manual page is the help's, the shells complete, the workflow is pinned."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import femtosearch
from femtosearch.cli import arguments, completion
from femtosearch.cli.outline import commands_of
from scripts import manual, versions

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOW = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
PACKAGING = ROOT / "packaging"
SCRIPTS = [*ROOT.glob("scripts/[!.]*"), *ROOT.glob("native/check/*")]
SCRIPTS = [
    path for path in SCRIPTS if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env bash")
]
OUTLINE = list(commands_of(arguments.parser()))


def scripted(shell):
    return completion.SHELLS[shell](OUTLINE)


def names_of_a_release(version):
    systems = ("manylinux_2_27_x86_64.manylinux_2_28_x86_64", "manylinux_2_27_aarch64.manylinux_2_28_aarch64")
    systems += ("musllinux_1_2_x86_64", "musllinux_1_2_aarch64", "macosx_11_0_x86_64", "macosx_11_0_arm64")
    systems += ("win_amd64", "win_arm64")
    wheels = [f"femtosearch-{version}-{kind}-{system}.whl" for kind in versions.KINDS for system in systems]
    return [f"femtosearch-{version}.tar.gz", *wheels]


def test_the_package_says_its_version():
    assert femtosearch.__version__ == versions.version() == PROJECT["project"]["version"]
    assert "__version__" in dir(femtosearch)


def test_all_that_states_the_version_agrees():
    assert list(versions.disagreements(versions.version())) == []
    assert len(list(versions.disagreements("9.9.9"))) == len(versions.STATED) + 1


def test_a_release_is_complete_or_what_lacks_is_named(tmp_path):
    names = names_of_a_release("1.0")
    for name in names:
        (tmp_path / name).touch()
    assert list(versions.missing(tmp_path, "1.0")) == []
    assert len(list(versions.missing(tmp_path, "1.1"))) == 2 * len(names)
    (tmp_path / names[3]).rename(tmp_path / "other.whl")
    lacking, foreign = versions.missing(tmp_path, "1.0")
    assert "manylinux" in lacking or "musllinux" in lacking
    assert "other.whl" in foreign


def test_the_manual_page_is_what_the_help_says():
    page = manual.page()
    assert manual.PAGE.read_text(encoding="utf-8") == page, "python -m scripts.manual"
    for command in OUTLINE:
        for described in command.actions or [command]:
            assert f".SS {manual.escaped(described.name)}" in page
    assert manual.escaped("--shards") in page


@pytest.mark.skipif(not shutil.which("man"), reason="needs man")
def test_the_manual_page_has_no_faults_of_roff():
    ran = subprocess.run(["man", "--warnings=all", "-l", manual.PAGE], capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stderr == "" and "FEMTOSEARCH(1)" in ran.stdout


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_shell_is_told_every_command_and_flag(shell, capsys):
    assert arguments.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert script == scripted(shell)
    for command in OUTLINE:
        assert re.search(rf"\b{command.name}\b", script)
        for argument in command.arguments:
            for flag in argument.flags:
                assert flag.lstrip("-") in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True).stderr == ""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["se"], ["search", "serve"]),
        (["search", "notes", "--prec"], ["--precision"]),
        (["search", "notes", "q", "--precision", ""], ["float32", "int8"]),
        (["search", "notes", "q", "--precision", "="], ["float32", "int8"]),
        (["search", "notes", "q", "--precision", "=", "i"], ["int8"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["index", "notes", "a f"], ["a file.md"]),
        (["cluster", ""], ["build", "serve", "search"]),
        (["cluster", "build", "a f"], ["a file.md"]),
        (["cluster", "build", "--shar"], ["--shards"]),
        (["a question", "a f"], ["a file.md"]),
        (["search", "--nothing-such"], []),
        (["search", "notes", "q", "--mode", ""], ["auto", "maxsim", "rerank", "fde"]),
        (["install", "claude", "cod"], ["codex"]),
        (["install", "claude", "--und"], ["--undo"]),
        (["install", "--index", "a f"], ["a file.md"]),
        (["a question", "--typ"], ["--type"]),
        (["a question", "--type", "p"], ["py"]),
    ],
)
def test_bash_completes(words, offered, tmp_path):
    (tmp_path / "a file.md").touch()
    run = (
        'COMP_WORDS=(femtosearch "$@"); COMP_CWORD=$#; compopt() { :; }\n'
        "_femtosearch\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    command = ["bash", "-c", scripted("bash") + run, "bash", *words]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ran.stderr == "" and ran.stdout.split("\n") == [*(offered or [""]), ""]


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("search --precision ", ["float32", "int8"]),
        ("search notes --mode m", ["maxsim"]),
        ("install claude cod", ["codex"]),
        ("question --ty", ["--type"]),
        ("question --type p", ["py"]),
        ("list --ty", []),
        ("--v", ["--version"]),
    ],
)
def test_fish_completes(line, offered):
    code = scripted("fish") + f'complete -C "femtosearch {line}"\n'
    ran = subprocess.run(["fish", "--no-config"], input=code, capture_output=True, text=True, check=True)
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == offered


def test_a_wrong_shell_is_told(capsys):
    with pytest.raises(SystemExit, match="2"):
        arguments.main(["completion", "tcsh"])
    assert "bash" in capsys.readouterr().err


def test_what_a_shell_reads_as_its_own_is_taken_out():
    assert completion._plain("a [b]: `c` $d 'e'") == "a b c d \u2019e\u2019"
    assert completion._quoted("it's") == r"'it'\''s'"


def lines_of_packages():
    """The command lines that files in packaging/ run."""
    unit = (PACKAGING / "systemd/femtosearch.service").read_text(encoding="utf-8")
    docker = (PACKAGING / "Dockerfile").read_text(encoding="utf-8")
    compose = (PACKAGING / "compose.yaml").read_text(encoding="utf-8")
    yield re.findall(r"^ExecStart=\S+/femtosearch (.*)$", unit, re.M)[0].split()
    yield json.loads(re.findall(r"^CMD (\[.*\])$", docker, re.M)[0])
    yield re.findall(r"command: \[(.*)\]", compose)[0].split(", ")


@pytest.mark.parametrize("words", [*lines_of_packages()], ids=["systemd", "Docker", "compose"])
def test_what_packages_start_is_a_command_that_writes_nothing(words):
    options = arguments.parser().parse_args(words)
    assert options.command == "serve" and options.index and not options.writable


def test_containers_have_no_rights():
    docker = (PACKAGING / "Dockerfile").read_text(encoding="utf-8")
    compose = (PACKAGING / "compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^USER (\S+)$", docker, re.M) == ["10001"] and 'user: "10001"' in compose
    assert docker.rindex("\nUSER") < docker.rindex("\nENTRYPOINT")
    for line in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", ":ro"):
        assert line in compose


def test_the_page_names_every_file_of_packaging():
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    for path in PACKAGING.rglob("*"):
        if path.is_file() and path.name != "Dockerfile.dockerignore":
            assert str(path.relative_to(PACKAGING)) in page


@pytest.mark.parametrize("script", sorted(SCRIPTS), ids=lambda path: path.name)
def test_scripts_are_bash(script):
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""


def test_actions_are_pinned_by_commits():
    uses = re.findall(r"uses: \S+@(\S+) # v\d+\.\d+\.\d+\n", WORKFLOW)
    assert len(uses) == WORKFLOW.count("uses: ") > 8
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for commit in uses)


def test_only_the_job_that_publishes_may_sign():
    jobs = re.split(r"\n  (?=\w+:)", WORKFLOW.split("\njobs:\n")[1])
    assert WORKFLOW.count("id-token: write") == 1 and "permissions: {}" in WORKFLOW
    assert [job.split(":")[0].strip() for job in jobs if "id-token" in job] == ["publish"]
    assert all("timeout-minutes" in job and "permissions:" in job for job in jobs)
    assert "secrets." not in WORKFLOW


def test_wheels_are_for_every_system_that_the_release_wants():
    table = PROJECT["tool"]["cibuildwheel"]
    assert {pattern[:5] for pattern in table["build"]} == {kind[:5] for kind in versions.KINDS}
    assert PROJECT["tool"]["scikit-build"]["wheel"]["py-api"] == "cp312"
    for name in (path for line in table["test-command"] for path in re.findall(r"tests/\S+", line)):
        assert (ROOT / name).exists()
