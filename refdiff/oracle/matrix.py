"""The kill matrix: every known bug put into the reference, and what the check says then.

`python -m refdiff.oracle.matrix` prints it as Markdown: at which tiers each wrong form
is seen, at how many vectors, and whether the verdict calls it by its name. A wrong form
is run in float64, by NumPy: only its number at 50 digits stands in the vectors.
"""

import argparse
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from refdiff.oracle import reference
from refdiff.oracle.adapter import InProcess
from refdiff.oracle.check import check
from refdiff.oracle.museum import EXHIBITS
from refdiff.oracle.truth.arithmetic import Machine
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.vector import documents

TIERS = ("TABLE", "STEP", "LAW", "STAT")


class Row(NamedTuple):
    """What became of one bug: failures and vectors by tier, and the names it was given."""

    exhibit: Exhibit
    failed: dict
    asked: dict
    named: tuple

    @property
    def killed(self) -> bool:
        """Whether any vector fails."""
        return any(self.failed.values())

    @property
    def first(self) -> str:
        """The cheapest tier that sees it, or ""."""
        return next((tier for tier in TIERS if self.failed.get(tier)), "")

    @property
    def called(self) -> bool:
        """Whether a verdict names it."""
        return self.exhibit.id in self.named


class Mutant:
    """The reference with one bug in it: an adapter of the families that have the bug."""

    name, dtype, conventions = "mutant", "float64", {}

    def __init__(self, exhibit: Exhibit, dtype: str = "float64"):
        self.dtype = dtype
        for family, wrong in exhibit.families.items():
            right = getattr(reference, family, None)
            setattr(self, family, _faulty(wrong, right, dtype))


def _faulty(wrong, right, dtype):
    """The wrong form as an adapter's function; the right one where the bug has no effect."""

    def function(p):
        m = Machine(dtype)
        numbers = {k: m.number(v) for k, v in p.items()}
        try:
            with np.errstate(all="ignore"):
                return wrong(numbers, m)
        except ValueError:
            return right(p)

    return function


def row(exhibit: Exhibit, every: Iterable[dict], dtype: str = "float64") -> Row:
    """Put one bug into the reference and check what has it."""
    asked = [d for d in every if d["family"] in exhibit.families]
    report = check(InProcess(Mutant(exhibit, dtype)), asked)
    failed, count, named = {}, {}, []
    for verdict in report.verdicts:
        tier = verdict.tier
        failed[tier] = failed.get(tier, 0) + sum(f.failed for f in verdict.findings)
        count[tier] = count.get(tier, 0) + len(verdict.findings)
        named += list(verdict.bugs)
    return Row(exhibit, failed, count, tuple(dict.fromkeys(named)))


def rows(exhibits: Iterable[Exhibit] = EXHIBITS) -> list[Row]:
    """The matrix: a row for each wrong form that is not a convention."""
    every = list(documents())
    bugs = [e for e in exhibits if e.grade != "convention"]
    return [row(exhibit, every) for exhibit in sorted(bugs, key=lambda e: e.id)]


def markdown(matrix: list[Row]) -> str:
    """The matrix as a table, and its sums."""
    lines = ["| bug | grade | wrong form | first seen at | vectors that fail | named |"]
    lines.append("|---|---|---|---|---|---|")
    for r in matrix:
        seen = ", ".join(f"{t} {n} of {r.asked[t]}" for t, n in r.failed.items() if n)
        others = [name for name in r.named if name != r.exhibit.id]
        named = "yes" if r.called else "no"
        named += f", with {', '.join(others)}" if others else ""
        cells = r.exhibit.id, r.exhibit.grade, r.exhibit.wrong, r.first, seen, named
        lines.append(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        )
    early = sum(r.first in ("TABLE", "STEP") for r in matrix)
    killed, called = sum(r.killed for r in matrix), sum(r.called for r in matrix)
    total = f"{len(matrix)} wrong forms: {killed} killed, {early} of them at TABLE or "
    return "\n".join([*lines, "", f"{total}STEP, {called} called by name."])


def main() -> None:
    """Command line of the matrix."""
    parser = argparse.ArgumentParser(description="every known bug, and its verdict")
    parser.add_argument("--museum", action="store_true", help="only those with a link")
    museum = parser.parse_args().museum
    print(markdown(rows([e for e in EXHIBITS if e.link or not museum])))


if __name__ == "__main__":
    main()
