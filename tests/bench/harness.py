"""What a row of the benchmark is, and how it is timed.

Every competitor first runs a short job, whose result must be equal in law to ours; the
fastest peers then run the full job in turn with ours, round after round, and the ratio
of a row is the median of the rounds' ratios.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

FINALISTS = 2  # peers that run the full job; the others are timed on the short one
SLOW = 30.0  # seconds of the first short run after which a peer is not tried again
PAUSE = 0.2  # seconds before a timed run: threads of the one before may still spin
LIMIT = 5.0  # standard errors that two results may differ by, over all statistics


@dataclass(frozen=True)
class Row:
    """A work, who competes in it, and what the ratio to the best peer must reach.

    ours() and each peer() return run(size), ready to be timed; size is `short` or
    `full`, in `unit`; differ(a, b) says how far two results are apart, in units of
    what is allowed.
    """

    name: str
    ours: Callable
    peers: dict[str, Callable]
    short: int
    full: int
    differ: Callable
    required: float
    aim: float
    unit: str = "steps"


@dataclass
class Result:
    """A row's numbers: seconds a full job, and by what factor the best peer is behind."""

    row: Row
    ours: float
    seconds: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    screened: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    difference: float = 0.0

    @property
    def best(self) -> str | None:
        """Return the fastest peer of those that ran the full job."""
        return min(self.seconds, key=self.seconds.get, default=None)

    @property
    def ratio(self) -> float:
        """Return how often ours fits into the best peer's time."""
        return float(np.median(self.ratios[self.best])) if self.best else np.nan

    @property
    def verdict(self) -> str:
        """Return what was reached."""
        if not self.best:
            return "no peer"
        if self.ratio >= self.row.aim:
            return "aim"
        return "required" if self.ratio >= self.row.required else "NOT REACHED"


def seconds(run, size) -> tuple[float, object]:
    """Return the time of one run, and what it returned."""
    time.sleep(PAUSE)
    began = time.perf_counter()
    result = run(size)
    return time.perf_counter() - began, result


def measure(row: Row, rounds: int) -> Result:
    """Screen all peers, then time ours and the finalists in turn."""
    ours = row.ours()
    want = ours(row.short)
    ready, result = {}, Result(row, np.nan)
    for name, make in row.peers.items():
        try:
            ready[name] = run = make()
            took, got = seconds(run, row.short)
            gap = row.differ(want, got)
            if not gap <= 1:
                raise ArithmeticError(f"differs from ours by {gap:.1f} x the allowed")
        except (ImportError, ArithmeticError, RuntimeError, ValueError) as error:
            result.failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        result.difference = max(result.difference, gap)
        if row.short < row.full and took < SLOW:  # that first run compiled
            took, _ = seconds(run, row.short)
        if took < 1:
            took = min(took, *(seconds(run, row.short)[0] for _ in range(2)))
        result.screened[name] = took * row.full / row.short
    final = sorted(result.screened, key=result.screened.get)[:FINALISTS]
    _play(row, result, ours, {name: ready[name] for name in final}, rounds)
    return result


def _play(row, result, ours, final, rounds):
    """Warm runs of the full job, whose results are compared; then the timed rounds."""
    want = ours(row.full) if row.short < row.full else None
    for name, run in list(final.items()) if row.short < row.full else ():
        gap = row.differ(want, run(row.full))
        result.difference = max(result.difference, gap)
        if not gap <= 1:
            result.failed[name] = f"differs from ours by {gap:.1f} x the allowed"
            del final[name], result.screened[name]
    times = {name: [] for name in ("ours", *final)}
    for k in range(rounds):
        order = list(times) if k % 2 == 0 else list(times)[::-1]
        for name in order:
            run = ours if name == "ours" else final[name]
            times[name].append(seconds(run, row.full)[0])
    result.ours = float(np.median(times["ours"]))
    for name in final:
        del result.screened[name]
        result.seconds[name] = float(np.median(times[name]))
        pairs = zip(times[name], times["ours"], strict=True)
        result.ratios[name] = [theirs / mine for theirs, mine in pairs]


def law_gap(features: Callable) -> Callable:
    """Return a comparison of two samples by the means of features, in LIMIT errors.

    features(x) -> (n, m);  max_j |mean a_j - mean b_j| / (LIMIT standard errors)
    """

    def differ(a, b):
        f, g = features(np.asarray(a, float)), features(np.asarray(b, float))
        error = np.sqrt(f.var(axis=0) / len(f) + g.var(axis=0) / len(g))
        gap = abs(f.mean(axis=0) - g.mean(axis=0)) / (LIMIT * error)
        return float(gap.max()) if np.isfinite(gap).all() else np.inf

    return differ


def moments(x: np.ndarray) -> np.ndarray:
    """First and second moments of points in the plane: x1, x2, x1^2, x1 x2, x2^2."""
    return np.column_stack([x, x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2])


def same_law(mixture) -> Callable:
    """Return the comparison of means, covariances and the components' weights."""
    return law_gap(lambda x: np.hstack([moments(x), mixture.responsibilities(x)]))


def same_numbers(rtol: float) -> Callable:
    """Return a comparison of arrays that must agree to rtol of their largest entry."""

    def differ(a, b):
        a, b = np.asarray(a, float), np.asarray(b, float)
        gap = abs(a - b).max() / (rtol * abs(a).max())
        return float(gap) if np.isfinite(gap) else np.inf

    return differ
