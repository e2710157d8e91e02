"""The workflow for a public CI host is one, and does what .ci/run does."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from tutorial.stages import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "test.yml"
CI = (ROOT / ".ci" / "run").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

# What a workflow may say, as far as ours says it: a key, and what it holds.
STEP = {"name": str, "uses": str, "run": str, "if": str, "with": dict, "env": dict}
JOB = {
    "name": str,
    "runs-on": str,
    "timeout-minutes": int,
    "strategy": dict,
    "env": dict,
    "steps": list,
}
WHOLE = {"name": str, "on": dict, "permissions": dict, "defaults": dict, "jobs": dict}


def misfits(found: dict, known: dict, where: str) -> list[str]:
    """What of a mapping has no such key, or holds something else."""
    return [
        f"{where}: {key}"
        for key, value in found.items()
        if key not in known or not isinstance(value, known[key])
    ]


def wrong(flow: dict) -> list[str]:
    """What the host would refuse in a workflow: "where: what"."""
    found = misfits(flow, WHOLE, "workflow")
    found += [f"workflow: no {key}" for key in ("on", "jobs") if not flow.get(key)]
    for name, job in flow.get("jobs", {}).items():
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
            found.append(f"{name}: no name for a job")
        found += misfits(job, JOB, name)
        found += [f"{name}: no {key}" for key in ("runs-on", "steps") if key not in job]
        strategy = job.get("strategy", {})
        found += misfits(strategy, {"fail-fast": bool, "matrix": dict}, name)
        matrix = strategy.get("matrix", {})
        found += [f"{name}: {key}" for key, of in matrix.items() if not of]
        steps = job.get("steps", [])
        for number, step in enumerate(steps if isinstance(steps, list) else [], 1):
            found += misfits(step, STEP, f"{name}, {number}")
            if ("uses" in step) == ("run" in step):
                found.append(f"{name}, {number}: either uses or run")
            if "uses" in step and not re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]):
                found.append(f"{name}, {number}: uses what?")
        named = set(re.findall(r"\$\{\{ matrix\.(\w+) \}\}", yaml.safe_dump(job)))
        if named != set(matrix):
            found.append(f"{name}: names {named} of the matrix {set(matrix)}")
    return found


@pytest.fixture
def flow() -> dict:
    """What the file says. To YAML 1.1, `on` is a truth value."""
    found = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in found.items()}


def test_the_workflow_is_one(flow):
    # An event without conditions holds nothing.
    assert flow["on"] == {"push": None, "pull_request": None}
    assert wrong(flow) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda flow: flow.pop("jobs"), "workflow: no jobs"),
        (lambda flow: flow.update(job={}), "workflow: job"),
        (lambda flow: flow["jobs"]["thorough"].pop("runs-on"), "thorough: no runs-on"),
        (lambda flow: flow["jobs"]["thorough"].update(steps="make"), "thorough: steps"),
        (
            lambda flow: flow["jobs"]["thorough"]["steps"][0].update(run="make"),
            "thorough, 1: either uses or run",
        ),
        (
            lambda flow: flow["jobs"]["each-python"]["strategy"]["matrix"].pop(
                "python"
            ),
            "each-python: names",
        ),
    ],
)
def test_what_is_no_workflow_is_seen(flow, spoil, says):
    spoil(flow)
    assert any(line.startswith(says) for line in wrong(flow))


def commands(text: str) -> set[str]:
    """The commands in a script that set up and test, as words without a Python."""
    text = text.replace("\\\n", " ")
    # Without what failed, once more, and without where: a clone with a Python.
    text = re.sub(r"^again\(\).*?^}", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\|\|\s+again.*", "", text)
    text = re.sub(r'"\$\{newest\[@\]\}"|PYTHON=python|--ignore=tests/site', "", text)
    found = re.findall(
        r"(?:^|\(|&& )\s*((?:make|\.venv/bin/python) .*?)\)?\s*$", text, re.M
    )
    words = {" ".join(shlex.split(line)) for line in found}
    return {line.removesuffix("ARGS=").strip() for line in words}


def test_it_does_what_the_whole_check_does(flow):
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    lines = "\n".join(
        step["run"]
        for step in steps
        if "run" in step and step.get("if") != "runner.os == 'Windows'"
    )
    ours = {line for line in commands(CI) if not line.startswith(".venv/bin/python -c")}
    # The other Django is among the thorough tests of a Python that is new enough.
    ours.remove("make test-all ARGS=$other")
    assert commands(lines) == ours
    assert {"make test", "make test-all ARGS=-m thorough --lot 0.05"} < ours
    for name in ("REQUIRE_BROWSER", "MUTATION_SEED"):
        value = flow["jobs"]["thorough"]["env"][name]
        assert f"export {name}={value}\n" in CI


def test_every_python_and_every_system_is_there(flow):
    matrix = flow["jobs"]["each-python"]["strategy"]["matrix"]
    minors = re.search(r"for minor in ([\d ]+);", CI)[1].split()
    assert matrix["python"] == [f"3.{minor}" for minor in minors]
    systems = [system.partition("-")[0] for system in matrix["system"]]
    assert systems == ["ubuntu", "macos", "windows"]


def test_windows_does_what_make_stands_for(flow):
    steps = flow["jobs"]["each-python"]["steps"]
    [step] = [one for one in steps if one.get("if") == "runner.os == 'Windows'"]
    first, second = step["run"].splitlines()
    assert first == "python tutorial/bootstrap.py test"
    target = re.search(r"^test:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1]
    [line] = re.findall(r"\$\(VENV_PYTHON\) (.*) \$\(ARGS\)", target)
    assert second == f".venv/Scripts/python {line}"
    assert "$(SET_UP) test" in target


def test_those_who_keep_the_project_know_that_it_was_not_run():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    [line] = [line for line in text.split("\n\n") if ".github/workflows" in line]
    assert "not run where this was written" in " ".join(line.split())
