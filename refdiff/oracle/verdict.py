"""What the findings of one family add up to, and which known bug they tell of."""

from typing import NamedTuple

from refdiff.oracle.finding import AGREES, CONVENTION, UNCOVERED, Finding

GOOD = (AGREES, CONVENTION)


class Verdict(NamedTuple):
    """A family's outcome.

    status: "agrees", "convention", "differs" or "not covered"
    first: the first vector that failed;  expected: failures that were known
    bugs: {exhibit: its words, and how many failures it explains}
    affine: {input: (the target's coefficient, the right one)} at the first failure
    """

    family: str
    tier: str
    status: str
    digits: float | None
    counts: dict
    conventions: tuple = ()
    first: Finding | None = None
    expected: int = 0
    bugs: dict = {}  # noqa: RUF012
    affine: dict = {}  # noqa: RUF012
    remarks: tuple = ()
    findings: tuple = ()


def verdict(document: dict, findings: list, expected: set, affine: dict) -> Verdict:
    """Sum up the findings of a document's vectors, which stand in the same order."""
    failed = [f for f in findings if f.failed and f.id not in expected]
    counts = {}
    for finding in findings:
        counts[finding.status] = counts.get(finding.status, 0) + 1
    status = _status(counts, failed)
    sure = [f.digits for f in findings if f.digits is not None and not f.failed]
    return Verdict(
        document["family"],
        document["tier"],
        status,
        min(sure, default=None),
        counts,
        tuple(sorted({f.convention for f in findings if f.status == CONVENTION})),
        failed[0] if failed else None,
        sum(f.failed and f.id in expected for f in findings),
        named(document, findings, failed),
        affine,
        _remarks(findings, expected),
        tuple(findings),
    )


def _remarks(findings, expected):
    """What is odd but no failure."""
    passing = [f.id for f in findings if f.id in expected and f.status in GOOD]
    remarks = sorted({f.remark for f in findings if f.remark})
    if passing:
        remarks.append(f"{len(passing)} known failures pass, the first {passing[0]}")
    return tuple(remarks)


def _status(counts, failed):
    if failed:
        return "differs"
    if set(counts) <= {UNCOVERED}:
        return UNCOVERED
    return CONVENTION if counts.get(CONVENTION) else AGREES


def named(document: dict, findings: list, failed: list) -> dict:
    """The wrong forms that the failures tell of, those that explain most first.

    One that gives the target's number wherever it has one is named; only if there is
    none, those that do so at some failures.
    """
    wrong = {v["id"]: set(v.get("wrong", {})) for v in document["vectors"]}
    words, total = document.get("exhibits", {}), len(failed)
    some = {}
    for finding in failed:
        for exhibit in finding.matches:
            some[exhibit] = some.get(exhibit, 0) + 1
    whole = {e: n for e, n in some.items() if _everywhere(e, findings, wrong)}
    found = _covering(whole, failed) if whole else some
    most = sorted(found, key=lambda e: -found[e])
    return {
        e: {**words.get(e, {}), "explains": found[e], "of": total, "whole": e in whole}
        for e in most
    }


def _everywhere(exhibit, findings, wrong):
    """Whether the target gives this wrong form's number wherever it has one.

    In float32 a right answer may be a wrong form's too: that contradicts nothing.
    """
    return all(
        exhibit in f.matches or exhibit not in wrong[f.id] or not f.arrays
        for f in findings
        if not f.convention  # wrong forms are those of the default conventions
    )


def _covering(whole, failed):
    """Without the forms that explain only what one that explains more does too."""
    explained = {e: {f.id for f in failed if e in f.matches} for e in whole}
    return {
        e: n
        for e, n in whole.items()
        if not any(explained[e] < s for s in explained.values())
    }
