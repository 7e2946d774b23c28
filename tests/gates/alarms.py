"""No false alarm: three independent writings of everything, in two precisions."""

from importlib import import_module

from refdiff.oracle.adapter import InProcess
from refdiff.oracle.check import check
from refdiff.oracle.vector import documents

FORMS = ("eps", "x0", "score")


def reports():
    """Yield (form, dtype, report) for each writing, asked everything in each precision."""
    every = list(documents())
    for form in FORMS:
        adapter = import_module(f"tests.writings.{form}_form")
        yield form, "float64", check(InProcess(adapter), every)
        single = getattr(adapter, "single", None) or adapter.Single
        single = single() if isinstance(single, type) else single
        yield form, "float32", check(InProcess(single), every)


def markdown(found):
    """Each writing's agreements, and whatever it was accused of."""
    lines = ["| writing | precision | families | vectors that agree | alarms |"]
    lines.append("|---|---|---|---|---|")
    for form, dtype, report in found:
        asked = [v for v in report.verdicts if v.status != "not covered"]
        findings = [f for v in asked for f in v.findings]
        good = sum(f.status == "agrees" for f in findings)
        alarms = [f.id for f in findings if f.failed]
        cells = f"{form} form", dtype, len(asked), good, len(alarms)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        lines += [f"\n{name}: {form} form, {dtype}" for name in alarms]
    return "\n".join(lines)
