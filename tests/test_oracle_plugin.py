"""The pytest plugin, in a suite of its own: `pytest --refdiff-target`."""

import importlib.metadata
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from refdiff.oracle.vector import FOLDER

ADAPTER = """
import os
import numpy as np

def right(p):
    pick = {
        "leading": lambda T, N: np.arange(N)[::-1] * (T // N),
        "trailing": lambda T, N: np.round(np.arange(T, 0, -T / N)).astype(int)[:N] - 1,
        "linspace": lambda T, N: np.round(np.linspace(0, T - 1, N))[::-1].astype(int),
    }
    if p["N"] > p["T"]:
        raise ValueError("N > T")
    return pick[p["spacing"]](p["T"], p["N"])

class Right:
    timesteps = staticmethod(right)

class Wrong:
    def timesteps(self, p):
        if p["spacing"] == "trailing":
            raise NotImplementedError
        return right(p) + (p["spacing"] == "leading")

class Dies:
    def timesteps(self, p):
        os._exit(1)

class Lies(Right):
    dtype = "float7"
"""


@pytest.fixture
def place(tmp_path):
    """A folder without any test, in which an adapter stands."""
    (tmp_path / "mine.py").write_text(ADAPTER)
    return tmp_path


def installed():
    """The plugin's option for pytest, whether or not it is installed as an entry point."""
    points = importlib.metadata.entry_points(group="pytest11")
    if any(p.value == "refdiff.oracle.plugin" for p in points):
        return []
    return ["-p", "refdiff.oracle.plugin"]


def run(place, *arguments):
    """Run pytest there as a user does, every warning an error."""
    slow = ["-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:cacheprovider"]
    options = [*installed(), *slow, "-W", "error", "-rA"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )


def outcomes(result):
    """{outcome: how many} of the last line."""
    words = result.stdout.splitlines()[-1].replace(",", "").strip("= ").split()
    return {k: int(n) for n, k in itertools.pairwise(words) if n.isdigit()}


def ids():
    document = json.loads((FOLDER / "timesteps.json").read_text())
    return [v["id"] for v in document["vectors"]]


FAMILY = ["--refdiff-family", "timesteps"]


def test_every_vector_is_a_test_with_its_id(place):
    result = run(place, "--refdiff-target", "mine:Right", *FAMILY)
    assert result.returncode == 0, result.stdout + result.stderr
    assert outcomes(result) == {"passed": len(ids())}
    for name in ids():
        assert f"PASSED refdiff::{name}" in result.stdout


def test_what_differs_fails_and_is_named_and_what_is_missing_is_skipped(place):
    result = run(place, "--refdiff-target", "mine:Wrong", *FAMILY)
    assert result.returncode == 1
    leading = [i for i in ids() if "/leading/" in i and not i.endswith("N138")]
    found = outcomes(result)
    assert found["failed"] == len(leading)
    assert found["skipped"] >= sum("/trailing/" in i for i in ids()) - 1
    assert f"FAILED refdiff::{leading[0]}" in result.stdout
    assert "leading_offset=1" in result.stdout


def test_known_failures_are_xfailed_by_id(place):
    leading = [i for i in ids() if "/leading/" in i]
    (place / "known.txt").write_text("# offsets\n" + "\n".join(leading))
    arguments = ["--refdiff-target", "mine:Wrong", "--refdiff-xfail", "known.txt"]
    result = run(place, *arguments, *FAMILY)
    assert result.returncode == 0, result.stdout
    assert outcomes(result)["xfailed"] == sum(not i.endswith("N138") for i in leading)


def test_a_name_selects_among_the_vectors(place):
    result = run(
        place, "--refdiff-target", "mine:Right", "-k", "timesteps and linspace"
    )
    assert outcomes(result)["passed"] == sum("/linspace/" in i for i in ids())


def test_a_target_that_dies_fails_and_ends(place):
    result = run(place, "--refdiff-target", "mine:Dies", *FAMILY)
    assert outcomes(result) == {"failed": len(ids())}
    assert "crashed: exit status 1" in result.stdout
    assert "not asked: the target died too often" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--refdiff-target", "nowhere:at_all"],
        ["--refdiff-target", "mine:Lies"],
        ["--refdiff-target", "mine:Right", "--refdiff-family", "none"],
        ["--refdiff-target", "mine:Right", "--refdiff-cmd", "true"],
        ["--refdiff-cmd", "./none"],
    ],
)
def test_usage_errors_are_pytests_own(place, arguments):
    result = run(place, *arguments)
    assert result.returncode == 4, result.stdout + result.stderr
    assert "refdiff: " in result.stderr


def test_a_suite_without_a_target_is_left_alone(place):
    (place / "test_own.py").write_text("def test_own():\n    assert True\n")
    result = run(place)
    assert outcomes(result) == {"passed": 1}
    result = run(place, "--refdiff-target", "mine:Right", *FAMILY)
    assert outcomes(result) == {"passed": 1 + len(ids())}


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, refdiff.oracle.plugin\n"
        "print([m for m in ('numpy', 'scipy', 'mpmath') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert Path(FOLDER).is_dir()
