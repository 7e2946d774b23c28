"""Where a reversal stands: its schedule, the times it visits, and which step it is at.

A problem has "schedule"; "timesteps", falling; and "index" into them. The step leads
from timesteps[index] to the next of the list, and from the last to alpha_bar = 1.
"""

from refdiff.oracle.truth.cover import covering, everything
from refdiff.oracle.truth.schedules import alpha_bar_of, beta_of, timesteps_of


def _linear(T, first, last, **more):
    return {"kind": "linear", "T": T, "beta_1": first, "beta_T": last, **more}


def _cosine(T):
    return {"kind": "cosine", "T": T, "s": 0.008, "beta_max": 0.999}


SCHEDULES = {
    "linear-T1000": _linear(1000, 1e-4, 0.02),
    "scaled-linear-T1000": _linear(1000, 0.00085, 0.012) | {"kind": "scaled-linear"},
    "cosine-T1000": _cosine(1000),
    "linear-T137": _linear(137, 1e-3, 0.1),
    "cosine-T137": _cosine(137),
    "sigmoid-T137": _linear(137, 1e-3, 0.1) | {"kind": "sigmoid"},
}
ZERO = _linear(1000, 1e-4, 0.02, zero_snr=True)  # ends in alpha_bar = 0
SPACINGS = ("leading", "trailing", "linspace")
LENGTHS = (7, 26, 33, 64, 2, 1)
PLACES = {"first": lambda N: 0, "middle": lambda N: N // 2, "last": lambda N: N - 1}
TARGETS = ("eps", "x0", "v", "score")


def pair(p, m):
    """alpha_bar at the step's own time and at the next visited, 1 after the last."""
    table, times, i = alpha_bar_of(p["schedule"], m), p["timesteps"], p["index"]
    later = table[times[i + 1]] if i + 1 < len(times) else m.number(1.0)
    return table[times[i]], later


def betas(schedule, m):
    """Beta of every k; kept by the arithmetic, since many ask."""
    kept = m.__dict__.setdefault("tables", {})
    key = "beta" + repr(sorted(schedule.items()))
    if key not in kept:
        kept[key] = beta_of(schedule, m)
    return kept[key]


def is_last(p):
    """Whether the step is the last, to alpha_bar = 1."""
    return p["index"] + 1 == len(p["timesteps"])


def walk(schedule, spacing, N, index):
    """The problem of one step."""
    times = timesteps_of(schedule["T"], N, spacing)
    return {"schedule": schedule, "timesteps": times, "index": index}


def walks(large, **axes):
    """Yield (id of the walk, its problem, the further axes' values) once each.

    large False: a few, in which any two settings meet;  True: the whole product
    axes: name = tuple of further settings
    """
    grid = everything if large else covering
    names = {"schedule": tuple(SCHEDULES), "spacing": SPACINGS, "N": LENGTHS}
    seen = set()
    for row in grid(**names, place=tuple(PLACES), **axes):
        N, more = row["N"], {name: row[name] for name in axes}
        index = PLACES[row["place"]](N)
        key = (row["schedule"], row["spacing"], N, index, *more.values())
        if key not in seen:
            seen.add(key)
            problem = walk(SCHEDULES[row["schedule"]], row["spacing"], N, index)
            yield f"{row['schedule']}/{row['spacing']}/N{N}", problem, more


def zero_walks():
    """Yield the same for first steps from alpha_bar = 0."""
    for N in (7, 1):
        yield f"zero-snr-T1000/trailing/N{N}", walk(ZERO, "trailing", N, 0)


def hardly_moves(problem):
    """Whether a float32 may not tell the answer from x, or from an x0 that is given.

    From or to k = 0, 1: 0.6 % of noise for the cosine, 0.01 % of the score for others.
    """
    little = problem["schedule"]["kind"] == "cosine" or problem["target"] == "score"
    return little and min(problem["timesteps"][problem["index"] :][:2]) <= 1


def step_id(problem):
    """Return the end of a step's id."""
    return f"step-{problem['index']:03d}"
