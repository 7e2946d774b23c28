"""The benchmark's output: a table to read, and the same as JSON."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.bench.harness import FINALISTS, LIMIT, Result

TABLE = (
    "| work | ours | best peer | times ours (rounds) | required / aim | reached |",
    "|---|---|---|---|---|---|",
)
NOTE = (
    f"All peers, in times ours; the fastest {FINALISTS} ran the full job, ~ is scaled "
    f"from a short one. Allowed difference: {LIMIT:g} standard errors, or rounding."
)
LIBRARIES = ["refdiff", "numpy", "numba", "scipy", "torch", "jax", "scikit-learn"]


def _version(library):
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing"


def machine() -> dict:
    """Return processor, threads and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return {
        "cpu": names[0] if names else platform.processor(),
        "wide": "avx512f" in " ".join(lines),
        "threads": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {library: _version(library) for library in LIBRARIES},
    }


def as_data(result: Result) -> dict:
    """Return a row's numbers as plain data."""
    row = result.row
    return {
        "work": row.name,
        "size": f"{row.full} {row.unit}",
        "ours": result.ours,
        "best": result.best,
        "ratio": result.ratio,
        "required": row.required,
        "aim": row.aim,
        "verdict": result.verdict,
        "ratios": result.ratios,
        "seconds": result.seconds,
        "screened": result.screened,
        "failed": result.failed,
        "difference": result.difference,
    }


def line(data: dict) -> str:
    """Return one row of the table, and the other peers under it."""
    head = f"| {data['work']} | {data['ours']:.3g} s | "
    if data["best"]:
        best = data["best"]
        spread = data["ratios"][best]
        head += f"{best}: {data['seconds'][best]:.3g} s | {data['ratio']:.2f} "
        head += f"({min(spread):.2f} to {max(spread):.2f}) | "
    else:
        head += "none | | "
    return head + f"{data['required']:g} / {data['aim']:g} | {data['verdict']} |"


def others(data: dict) -> str:
    """Return how far behind ours all the other peers are."""
    full = [f"{name} {t / data['ours']:.3g}x" for name, t in data["seconds"].items()]
    short = [f"{name} ~{t / data['ours']:.3g}x" for name, t in data["screened"].items()]
    failed = [f"{name} FAILED ({why})" for name, why in data["failed"].items()]
    gap = f"laws differ by {data['difference']:.2f} of what is allowed"
    return f"- {data['work']}: {', '.join([*full, *short, *failed])}; {gap}"


def text(found: dict) -> str:
    """Return the whole report."""
    about = found["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    wide = "with" if about["wide"] else "without"
    head = f"{about['cpu']} ({wide} AVX-512), {about['threads']} threads, "
    out = [head + f"Python {about['python']}; {versions}", "", *TABLE]
    out += [*map(line, found["rows"]), "", NOTE, *map(others, found["rows"])]
    for slope in found["slopes"]:
        pairs = zip(slope["sizes"], slope["seconds"], strict=True)
        times = ", ".join(f"{size}: {took:.3g} s" for size, took in pairs)
        fit = f"{slope['slope']:.2f}, within {slope['misfit']:.0%} of a straight line"
        out.append(f"- cost ~ {slope['of']}^{fit} ({times})")
    for peak in found["memory"]:
        job = f"{peak['particles']} particles, {peak['steps']} steps"
        out.append(f"- {job}: {peak['bytes'] / 2**20:.1f} MiB more at the peak")
    return "\n".join(out)
