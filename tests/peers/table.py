"""The table of what diffusers' schedulers answer, and why where they differ."""

import functools
import json
import pathlib
import warnings
from typing import Any

from refdiff.oracle import check
from refdiff.oracle.adapter import InProcess

from .diffusers_adapters import ADAPTERS

HERE = pathlib.Path(__file__).parent
VECTORS = pathlib.Path(check.__file__).parent / "vectors"
KNOWN = json.loads((HERE / "known.json").read_text())

# What each reason in known.json says: what it is, and where it comes from.
REASONS = {
    "stride": "bug: steps by T // N, not to the next of its list",
    "last-noise": "bug: noise in the last step unless that is at 0",
    "zero-snr-eps": "gap: infinite, not refused, where alpha_bar is 0 (NUM-07)",
    "too-many": "gap: more steps than times are not refused",
    "shift-twice": "bug: the last levels are shifted twice (SCH-08)",
    "add-noise": "bug: before set_timesteps, noised to T - 1 - t",
    "churn-v": "bug: v read at sigma, not at sigma_hat",
    "squared": "bug: the list is of sigma squared (SCH-04)",
    "one-step": "bug: the list of one step is sigma_min",
    "floor": "design: the last alpha_bar is 2^-24, not 0 (NUM-07)",
    "equality": "design: a time is looked up by equality alone (NUM-04)",
    "fifteen": "design: the last steps' order falls only below 15 steps",
    "one-time": "design: a table of one time cannot be made",
    "float32": "float32: 1 - exp(-s) for small s, where expm1 would keep all digits",
}


@functools.cache
def document(family: str) -> dict:
    """A family's shipped vectors."""
    return json.loads((VECTORS / f"{family}.json").read_text())


@functools.cache
def report(name: str, dtype: str | None = None) -> Any:
    """The whole check of one adapter, in its dtype or fed another."""
    (adapter,) = (a for a in ADAPTERS if a.name == name)
    families = [f for f, v in vars(adapter).items() if callable(v)]
    with warnings.catch_warnings():
        # torch and NumPy warn of each other inside of diffusers
        warnings.simplefilter("ignore")
        asked = [document(f) for f in families]
        return check.check(InProcess(adapter, dtype), asked, dtype)


def failing(verdict: Any) -> list:
    """The ids of the vectors that a family fails."""
    return sorted(f.id for f in verdict.findings if f.failed)


def known(name: str, family: str) -> dict:
    """{id: reason} of the vectors that are known to fail."""
    reasons = KNOWN.get(name, {}).get(family, {})
    return {i: reason for reason, ids in reasons.items() for i in ids}


def fed_double(name: str, family: str) -> float | None:
    """Fewest digits in float64, of the vectors that agree in float32.

    None for what comes back in float32 all the same, as tables do.
    """
    single, double = (
        next(v for v in report(name, d).verdicts if v.family == family)
        for d in (None, "float64")
    )
    good = {f.id for f in single.findings if f.status in ("agrees", "convention")}
    found = [f.digits for f in double.findings if f.id in good]
    return min((d for d in found if d is not None), default=None)


def _digits(value, family, agree):
    """Digits; "exact" for integers that agree, "-" where nothing was judged."""
    if value is not None:
        return f"{value:.1f}"
    asked = [v.get("outputs", {}) for v in document(family)["vectors"]]
    outputs = [o for named in asked for o in named.values()]
    whole = all(o["class"] == "exact" for o in outputs)
    return "exact" if agree and whole else "-"


def row(name: str, verdict: Any) -> list:
    """Cells of one scheduler and family."""
    counts, family = verdict.counts, verdict.family
    agree = counts.get("agrees", 0) + counts.get("convention", 0)
    asked = sum(counts.values()) - counts.get("not covered", 0)
    why = known(name, family)
    notes = {why.get(i, "?") for i in failing(verdict)}
    found = verdict.digits, fed_double(name, family)
    digits = [_digits(d, family, agree) for d in found]
    conventions = ", ".join(verdict.conventions)
    cells = [name, family, f"{agree} of {asked}", *digits, conventions]
    return [*cells, ", ".join(sorted(notes))]


HEAD = (
    "scheduler",
    "family",
    "vectors that agree",
    "digits",
    "fed float64",
    "declared",
    "findings",
)


def lines(rows: list) -> list:
    """A Markdown table; a name that stands above is not repeated."""
    out, last = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)], ""
    for name, *rest in rows:
        out.append("| " + " | ".join(["" if name == last else name, *rest]) + " |")
        last = name
    return out


def full() -> list:
    """One row for each scheduler and family that is covered."""
    reports = [(a.name, report(a.name)) for a in ADAPTERS]
    return [
        row(name, v)
        for name, r in reports
        for v in r.verdicts
        if v.status != "not covered"
    ]


def short(rows: list) -> list:
    """One row for each scheduler: families, and the fewest digits of each."""
    out = ["| scheduler | agrees, to digits | differs in part | declared | findings |"]
    out.append("|" + "---|" * 5)
    for name in dict.fromkeys(r[0] for r in rows):
        mine = [r for r in rows if r[0] == name]
        good = ", ".join(f"{r[1]} {r[3]}" for r in mine if not r[6])
        bad = ", ".join(f"{r[1]} {r[2]}" for r in mine if r[6])
        rest = [
            ", ".join(dict.fromkeys(c for r in mine for c in r[i].split(", ") if c))
            for i in (5, 6)
        ]
        out.append("| " + " | ".join([name, good, bad, *rest]) + " |")
    return out
