"""The verdicts as text for a terminal, as Markdown, and as JSON."""

import json
import math
import textwrap

from refdiff.oracle.check import Report
from refdiff.oracle.finding import AGREES, CONVENTION, UNCOVERED
from refdiff.oracle.verdict import Verdict

WIDTH = 100


def short(verdict: Verdict) -> str:
    """A verdict in a few words."""
    if verdict.status == "differs":
        return "DIFFERS"
    if verdict.status == UNCOVERED:
        return "not covered"
    text = "agrees"
    if verdict.digits is not None:
        text += f" to {math.floor(verdict.digits + 1e-9)} digits"
    if verdict.status == CONVENTION:
        text += f" under {', '.join(verdict.conventions)}"
    if verdict.expected:
        text += f", but for {verdict.expected} known failures"
    return text


def tally(verdict: Verdict) -> str:
    """How many vectors agree (or, after DIFFERS, do not), and how many are not covered."""
    counts, missing = verdict.counts, verdict.counts.get(UNCOVERED, 0)
    asked = sum(counts.values()) - missing
    good = counts.get(AGREES, 0) + counts.get(CONVENTION, 0)
    told = f"in {asked - good}" if verdict.status == "differs" else good
    return f"{told} of {asked}" + (f" ({missing} not covered)" if missing else "")


def details(verdict: Verdict) -> list:
    """Where it differs first, whose number that is, and its coefficients; remarks."""
    lines = []
    if verdict.first is not None:
        lines.append(f"first: {verdict.first.id}")
        lines.append(verdict.first.text)
    lines += [_bug(name, bug) for name, bug in list(verdict.bugs.items())[:3]]
    if len(verdict.bugs) > 3:
        lines.append(f"and the numbers of {', '.join(list(verdict.bugs)[3:])}")
    if verdict.affine and verdict.first is not None:
        pairs = [f"{k} {got:.8g} ({ok:.8g})" for k, (got, ok) in verdict.affine.items()]
        lines.append(f"its coefficients there (the right ones): {', '.join(pairs)}")
    return lines + [f"note: {remark}" for remark in verdict.remarks]


def _bug(name, bug):
    """A known wrong form in a sentence."""
    share = f"{bug['explains']} of {bug['of']} failures"
    sure = "this is" if bug["whole"] else "some of these are"
    if bug.get("grade") == "convention":
        return (
            f"{sure} the convention {name} ({share}): declare it if it is meant; "
            f"{bug.get('wrong', '')}"
        )
    words = f": {bug['wrong']}; right is {bug['right']}" if "wrong" in bug else ""
    link = f"  {bug['link']}" if bug.get("link") else ""
    return f"{sure} the number of {name} ({share}){words}{link}"


def question(document: dict) -> str:
    """What a family asks: its text, the keys of p, the outputs, the conventions."""
    valid = [v for v in document["vectors"] if "outputs" in v]
    keys = {k for v in valid for k in (*v["problem"], *v["inputs"])}
    known = document.get("exhibits", {}).items()
    chosen = [k for k, e in known if e.get("grade") == "convention"]
    lines = [f"{document['family']}  {document['tier']}, {document['source']}"]
    lines += _wrapped(document["text"], "    ")
    lines += _wrapped(f"p: {', '.join(sorted(keys))}", "    ")
    lines += _wrapped(f"returns: {', '.join(valid[0]['outputs'])}", "    ")
    return "\n".join(
        lines + _wrapped(f"conventions: {', '.join(chosen)}", "    ") * bool(chosen)
    )


def summary(report: Report) -> str:
    """One line for everything."""
    kinds = [v.status for v in report.verdicts]
    under = kinds.count(CONVENTION)
    parts = [f"families: {kinds.count(AGREES)} agree"]
    if under:
        parts.append(f"{under} agree under a declared convention")
    parts.append(f"{kinds.count('differs')} differ")
    parts.append(f"{kinds.count(UNCOVERED)} not covered")
    return ", ".join(parts)


def title(report: Report) -> str:
    """Who was asked."""
    said = ", ".join(f"{k}={v}" for k, v in report.conventions.items())
    text = f"{report.name} {report.version}".strip() + f", {report.dtype}"
    return text + (f", declaring {said}" if said else "")


def text(report: Report) -> str:
    """The report for a terminal, at most 100 columns."""
    lines = [_fit(title(report)), ""]
    for fault in report.faults:
        lines += _wrapped(f"FAULT: {fault}", "")
    covered = [v for v in report.verdicts if v.status != UNCOVERED]
    width = max([len(v.family) for v in covered], default=0)
    for verdict in covered:
        lines.append(
            _fit(f"{verdict.family:{width}}  {short(verdict)}  {tally(verdict)}")
        )
        for line in details(verdict):
            lines += _wrapped(line, " " * (width + 2))
    missing = [v.family for v in report.verdicts if v.status == UNCOVERED]
    if missing:
        lines += _wrapped(f"not covered: {', '.join(missing)}", "")
    for remark in report.remarks:
        lines += _wrapped(f"note: {remark}", "")
    return "\n".join([*lines, "", summary(report)])


def _fit(line):
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _wrapped(line, indent):
    further = indent + "  "
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=further)


def markdown(report: Report) -> str:
    """The report as a Markdown table, with the details below."""
    lines = [f"## {title(report)}", "", "| family | tier | verdict | vectors |"]
    lines.append("|---|---|---|---|")
    for v in report.verdicts:
        lines.append(f"| `{v.family}` | {v.tier} | {short(v)} | {tally(v)} |")
    for fault in report.faults:
        lines += ["", f"**Fault**: {fault}"]
    for v in report.verdicts:
        if details(v):
            lines += ["", f"### {v.family}", ""]
            lines += [f"- {line}" for line in details(v)]
    lines += ["", *[f"Note: {remark}" for remark in report.remarks]]
    return "\n".join([*lines, "", f"{summary(report)}."])


def as_json(report: Report) -> str:
    """The report as JSON: each family's verdict, and each vector that failed."""
    head = report._asdict()
    verdicts = [_verdict(v) for v in head.pop("verdicts")]
    document = {**head, "status": report.status, "families": verdicts}
    return json.dumps(document, indent=1, allow_nan=False, default=str)


def _verdict(verdict):
    row = verdict._asdict()
    first = row.pop("first")
    failed = [f for f in row.pop("findings") if f.failed]
    row["first"] = first.id if first else None
    row["bugs"] = [{"id": k, **bug} for k, bug in verdict.bugs.items()]
    row["affine"] = {
        k: {"target": _finite(got), "right": ok}
        for k, (got, ok) in verdict.affine.items()
    }
    row["failures"] = [_failure(f) for f in failed]
    return row


def _failure(f):
    return {
        "id": f.id,
        "status": f.status,
        "text": f.text,
        "tolerances": _finite(f.excess),
        "matches": list(f.matches),
    }


def _finite(x):
    return x if math.isfinite(x) else str(x)


FORMATS = {"text": text, "markdown": markdown, "json": as_json}
