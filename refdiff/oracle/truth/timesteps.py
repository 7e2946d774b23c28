"""Which entries of a table a sampler visits, and how a time finds its entry again."""

from fractions import Fraction

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.schedules import alpha_bar_of, signal_again, timesteps_of
from refdiff.oracle.truth.tables import LINEAR, SCALED

STEPS = (1, 2, 7, 26, 33, 64)


def timesteps(p, m):
    """The list of a spacing, falling."""
    return {"timesteps": timesteps_of(p["T"], p["N"], p["spacing"])}


def timesteps_again(p, m):
    """The same in fractions: those that start at 0, or whose ends are moved."""
    T, N = p["T"], p["N"]
    width = {
        "leading": Fraction(T // N),
        "trailing": Fraction(T, N),
        "linspace": Fraction(T - 1, max(N - 1, 1)),
    }[p["spacing"]]
    if p["spacing"] == "trailing":
        return {"timesteps": [round(T - i * width) - 1 for i in range(N)]}
    return {"timesteps": [round(i * width) for i in range(N)][::-1]}


def _timesteps_cases(large):
    steps = (*STEPS, 5, 10, 20, 50, 137) if large else STEPS
    for T in (137, 250, 1000, 4000) if large else (137, 1000):
        for spacing in ("leading", "trailing", "linspace"):
            for N in steps:
                N = N - 1 if fragile(T, N, spacing) else N
                problem = {"T": T, "N": N, "spacing": spacing}
                zero = N == 1 and spacing != "trailing"
                yield Case(f"T{T}/{spacing}/N{N}", problem, degenerate=zero)
    for spacing in ("leading", "trailing"):  # a real linspace may be longer than T
        problem = {"T": 137, "N": 138, "spacing": spacing}
        yield Case(f"T137/{spacing}/N138", problem, result="must-refuse")


def fragile(T, N, spacing):
    """Whether a half is rounded, here or with N + 1 points, that floats may miss."""
    widths = {
        "leading": [],
        "trailing": [Fraction(T, N)],
        "linspace": [Fraction(T - 1, max(N - 1, 1)), Fraction(T - 1, N)],
    }[spacing]
    return any(_misses_a_half(width, N) for width in widths)


def _misses_a_half(width, N):
    """Whether some i width ends in 1/2 while width itself is no binary fraction."""
    half = any(width * i % 1 == Fraction(1, 2) for i in range(N + 1))
    return half and width.denominator & (width.denominator - 1) != 0


def lcm_timesteps(p, m):
    """N of the training times k = j T // original - 1, from the top, floored index."""
    trained = _trained(p)
    return {"timesteps": [trained[len(trained) * i // p["N"]] for i in range(p["N"])]}


def _trained(p):
    """The times that a consistency model was distilled at, falling."""
    width = p["T"] // p["original"]
    return [j * width - 1 for j in range(p["original"], 0, -1)]


def _lcm_again(p, m):
    """The index as the number of widths that fit: i / N >= j / original."""
    T, N, n = p["T"], p["N"], p["original"]
    index = [sum(j * N <= i * n for j in range(1, n)) for i in range(N)]
    return {"timesteps": [T - 1 - T % n - j * (T // n) for j in index]}


def _lcm_cases(large):
    grid = [(1000, 50), (137, 20), (1000, 100)]
    for T, original in grid:
        for N in range(1, original + 1) if large else (1, 2, 4, 7, 11, 16, 26, 33, 50):
            if N <= original:
                problem = {"T": T, "original": original, "N": N}
                yield Case(f"T{T}/original{original}/N{N}", problem)


def quadratic_times(p, m):
    """N + 1 times, evenly spaced in the root, from first down to last."""
    i = m.number(np.arange(p["N"] + 1.0))
    top, low = m.sqrt(p["first"]), m.sqrt(p["last"])
    return {"times": (top + i / p["N"] * (low - top)) ** 2}


def _quadratic_again(p, m):
    """The square multiplied out."""
    w = m.number(np.arange(p["N"] + 1.0)) / p["N"]
    a, b = p["first"], p["last"]
    middle = 2 * w * (1 - w) * m.sqrt(a * b)
    return {"times": (1 - w) ** 2 * a + middle + w * w * b}


def _quadratic_cases(large):
    for first, last in ((1000.0, 0.0), (800.0, 1.0), (1.0, 0.0009765625)):
        for N in range(1, 65) if large else STEPS:
            problem = {"N": N, "first": first, "last": last}
            yield Case(f"from{first:g}/to{last:.3g}/N{N}", problem)


def sigma_timesteps(p, m):
    """The real k whose log sigma, interpolated linearly between entries, is log sigma."""
    bar = alpha_bar_of(p["schedule"], m)
    return {"timesteps": _interpolated(p["sigma"], m.sqrt((1 - bar) / bar), m.log)}


def _interpolated(values, table, f):
    """Real indices of values in a rising table, linear in f between two entries."""
    found = []
    for v in values:
        k = max(i for i in range(len(table) - 1) if table[i] <= v)
        low, high = f(table[k]), f(table[k + 1])
        found.append(k + (f(v) - low) / (high - low))
    return np.array(found)


def _sigma_timesteps_again(p, m):
    """By weights of both ends, sigma^2 = 1/signal^2 - 1, in log sigma^2."""
    y = signal_again(p["schedule"], m)
    square = (1 - y) * (1 + y) / y**2
    found = []
    for v in p["sigma"]:
        k = int(sum(square <= v * v)) - 1
        up, down = m.log(v * v / square[k]), m.log(square[k + 1] / (v * v))
        found.append((k * down + (k + 1) * up) / (up + down))
    return {"timesteps": np.array(found)}


def _sigma_cases(large):
    lists = {
        "spread": [14.0, 7.5, 3.25, 1.5, 0.75, 0.3125, 0.0625],
        "near-data": [0.1875, 0.15625, 0.140625, 0.125, 0.109375, 0.09375, 0.078125],
        "dense": [2.125, 2.0625, 2.03125, 2.015625, 2.0078125, 1.0],
    }
    for name, schedule in (("linear-T1000", LINEAR), ("scaled-linear-T1000", SCALED)):
        for label, sigma in lists.items():
            yield Case(f"{name}/{label}", {"schedule": schedule}, {"sigma": sigma})


def step_index(p, m):
    """For each t, the place in the list of the entry that is nearest."""
    return {"index": [int(np.argmin(abs(p["timesteps"] - t))) for t in p["t"]]}


def _step_index_again(p, m):
    """How many midpoints of the falling list lie above t."""
    middle = (p["timesteps"][:-1] + p["timesteps"][1:]) / 2
    return {"index": [int(sum(middle > t)) for t in p["t"]]}


def _step_index_cases(large):
    even = [999.0, 749.25, 500.5, 254.0, 120.75, 60.5, 30.25, 1.0]
    dense = [999.0, 743.25, 256.5, 12.75, 12.25, 6.5, 6.25, 0.5, 0.25]
    nudged = [float(np.nextafter(np.float32(t), np.float32(1e3))) for t in even]
    yield Case("even/itself", {"timesteps": even}, {"t": even})
    yield Case("even/nudged", {"timesteps": even}, {"t": nudged})
    yield Case("even/alone", {"timesteps": even}, {"t": [nudged[3]]})
    yield Case("dense/itself", {"timesteps": dense}, {"t": dense})
    yield Case("dense/middle", {"timesteps": dense}, {"t": dense[3:]})
    yield Case("dense/alone", {"timesteps": dense}, {"t": [12.75]})


FAMILIES = (
    Family(
        "timesteps",
        "TABLE",
        "table",
        "Lin24 Table 2",
        "The N entries visited of a table of T, falling, as integers k from 0. leading: "
        "i (T // N); trailing: round(T - i T/N) - 1; linspace: even from T - 1 to 0, "
        "rounded (N = 1: 0). Halves go to the even number. N > T must be refused in all "
        "three, as some entry would be asked twice; a linspace of real numbers may be "
        "longer, and so linspace is not asked for it.",
        timesteps,
        timesteps_again,
        _timesteps_cases,
        {"timesteps": "exact"},
    ),
    Family(
        "lcm_timesteps",
        "TABLE",
        "table",
        "definition",
        "N times of a latent consistency model, falling, out of the `original` many that "
        "it was distilled at, j (T // original) - 1; index floor(i original / N).",
        lcm_timesteps,
        _lcm_again,
        _lcm_cases,
        {"timesteps": "exact"},
    ),
    Family(
        "quadratic_times",
        "TABLE",
        "table",
        "Zhang23 for the power of time",
        "N + 1 real times from first down to last, evenly spaced in their square root.",
        quadratic_times,
        _quadratic_again,
        _quadratic_cases,
        {"times": "entry"},
    ),
    Family(
        "sigma_timesteps",
        "TABLE",
        "table",
        "definition",
        "For each sigma the real k at which the schedule's log sqrt((1-ab)/ab), "
        "interpolated linearly between entries k, is log sigma.",
        sigma_timesteps,
        _sigma_timesteps_again,
        _sigma_cases,
        {"timesteps": "entry"},
    ),
    Family(
        "step_index",
        "TABLE",
        "table",
        "definition",
        "For each time t that a sampler is called with, the place from 0 of the entry of "
        "the falling list timesteps that is nearest to it.",
        step_index,
        _step_index_again,
        _step_index_cases,
        {"index": "exact"},
    ),
)
