"""Run the gates: `python -m tests.gates [--quick] [--out FILE]`; status 1 if one fails."""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from refdiff.oracle import matrix
from tests.gates import alarms, reasons, synthetic

HEAD = """# The gates of the oracle

Made by `python -m tests.gates --out tests/gates/README.md`.
"""


def museum():
    """The kill matrix: everything killed and called by name, nine in ten early."""
    rows = matrix.rows()
    linked = [r for r in rows if r.exhibit.link]
    early = sum(r.first in ("TABLE", "STEP") for r in linked)
    good = all(r.killed and r.called for r in rows) and early >= 0.9 * len(linked)
    words = (
        f"Of the {len(linked)} from real projects, {early} are seen at TABLE or STEP."
    )
    title = "## Known bugs, each put into the reference"
    return f"{title}\n\n{matrix.markdown(rows)}\n\n{words}", good


def false_alarms():
    """Right programs: none is accused."""
    found = list(alarms.reports())
    good = all(report.status == 0 for _, _, report in found)
    return f"## Right programs\n\n{alarms.markdown(found)}", good


def slips(quick):
    """Synthetic mutants: 99 in 100 are seen, those that are the same program aside."""
    forms = alarms.FORMS[:1] if quick else alarms.FORMS
    with ProcessPoolExecutor(2) as pool:
        jobs = {f: pool.submit(synthetic.survivors, f, not quick) for f in forms}
        found = {form: job.result() for form, job in jobs.items()}
    count = sum(n for n, _ in found.values())
    left = [m for _, left in found.values() for _, m in left]
    missed = sum(not reasons.reason(f"{m.function}: {m.slip}") for m in left)
    share = missed / (count - len(left) + missed)
    words = f"{100 * (1 - share):.2f} % of those that are another program are seen."
    text = f"## Small slips in right programs\n\n{synthetic.markdown(found)}\n\n{words}"
    return text, share <= 0.01


def main():
    """Run all, print or write them, and say which fail."""
    parser = argparse.ArgumentParser(prog="python -m tests.gates")
    parser.add_argument(
        "--quick", action="store_true", help="slips in one writing, none in samplers"
    )
    parser.add_argument("--out", help="write the Markdown here")
    given = parser.parse_args()
    gates = [museum(), false_alarms(), slips(given.quick)]
    text = "\n\n".join([HEAD.rstrip(), *(text for text, _ in gates)]) + "\n"
    if given.out:
        Path(given.out).write_text(text)
    else:
        print(text, end="")
    failed = [text.splitlines()[0] for text, good in gates if not good]
    print(*[f"fails: {title}" for title in failed], sep="\n", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
