"""Where a solver steps: levels in three scalings, what a model says there, and grids.

A grid of sigmas falls, and may end in 0. States are x = signal x0 + noise eps with
sigma = noise / signal (flow: noise itself), in one of three scalings: "ve" 1 and sigma,
"vp" both over sqrt(1 + sigma^2), "flow" 1 - sigma and sigma.
"""

import math

SCALINGS = {
    "ve": lambda s, m: (m.number(1.0), s),
    "vp": lambda s, m: (1 / m.sqrt(1 + s * s), s / m.sqrt(1 + s * s)),
    "flow": lambda s, m: (1 - s, s),
}
TARGETS = ("eps", "x0", "v", "score")


def level(p, m, i):
    """The pair (signal, noise) at sigmas[i]; a program of low precision rounds that number."""
    return SCALINGS[p.get("scaling", "ve")](p["sigmas"][i] * 1, m)


def x0_eps(p, m, x, y, at):
    """x0_hat and eps_hat at a level from the model's output y there.

    v is a rotation's, (signal eps - noise x0) / r with r^2 = signal^2 + noise^2, in every
    scaling; flow: eps - x0; the score is that of x
    """
    (signal, noise), target = at, p["target"]
    if target == "eps":
        return (x - noise * y) / signal, y
    if target == "x0":
        return y, (x - signal * y) / noise
    if target == "flow":
        return x - noise * y, x + signal * y
    if target == "score":
        return (x + noise * noise * y) / signal, -noise * y
    r = m.sqrt(signal * signal + noise * noise)
    return (signal * x / r - noise * y) / r, (noise * x / r + signal * y) / r


def now_then(p, m):
    """The levels that a step goes between."""
    return level(p, m, p["index"]), level(p, m, p["index"] + 1)


def between(p, m, r):
    """The level at a fraction r of a step's way in lam = log(signal / noise)."""
    (a, b), (c, d) = now_then(p, m)
    ratio = m.exp((1 - r) * m.log(b / a) + r * m.log(d / c))
    flow = p.get("scaling") == "flow"
    return SCALINGS[p.get("scaling", "ve")](ratio / (1 + ratio) if flow else ratio, m)


def ends(p):
    """Whether a step goes to no noise, where log(signal / noise) is infinite."""
    return p["sigmas"][p["index"] + 1] == 0


X = [[1.25, -0.625], [-0.4375, 2.125]]
Y = [[0.5625, -1.1875], [0.8125, 0.3125]]
Y_2 = [[0.6875, -0.9375], [1.0625, 0.1875]]
Z = [[-0.6875, 0.9375], [1.4375, -0.1875]]


def _linear(T, times):
    """The sigmas at times of the schedule with beta 1e-4 .. 0.02, to five digits, then 0."""
    bar, found = 1.0, {}
    for k in range(T):
        bar *= 1 - (1e-4 + k * (0.02 - 1e-4) / (T - 1))
        found[k] = float(f"{math.sqrt((1 - bar) / bar):.5g}")
    return [*(found[k] for k in times), 0.0]


def _karras(N, low=0.002, high=80.0, rho=7.0):
    """EDM's grid to six digits, then 0."""
    a, b = high ** (1 / rho), low ** (1 / rho)
    grid = [(a + i / (N - 1) * (b - a)) ** rho for i in range(N)]
    return [*(float(f"{s:.6g}") for s in grid), 0.0]


PLAIN = "plain-N7"
GRIDS = {
    PLAIN: [14.5, 8.0, 4.25, 2.0, 0.875, 0.375, 0.125, 0.0],
    "one-N1": [5.5, 0.0],
    "two-N2": [3.0, 0.75, 0.0],
    "open-N5": [6.0, 3.5, 1.75, 1.125, 0.5, 0.1875],
    "karras-N18": _karras(18),
    "linear-T1000-trailing-N7": _linear(1000, [999, 856, 713, 570, 428, 285, 142]),
    "linear-T137-leading-N26": _linear(137, range(125, -1, -5)),
    "linear-T1000-leading-N33": _linear(1000, range(960, -1, -30)),
    "linear-T1000-leading-N64": _linear(1000, range(945, -1, -15)),
}


FLOWS = {
    "flow-N7": [0.9375, 0.8125, 0.625, 0.5, 0.25, 0.125, 0.0625, 0.0],
    "flow-N1": [0.75, 0.0],
}
FLOW_TARGETS = ("flow", "x0", "eps", "score")


def scaled(large, first=0):
    """The same in the three scalings; fewer grids in each, unless large."""
    rest = {k: v for k, v in GRIDS.items() if k != "open-N5" and "trailing" not in k}
    few = {k: GRIDS[k] for k in ("open-N5", "karras-N18")}
    vp, ve = (GRIDS, GRIDS) if large else (rest, few)
    some = (("vp", vp, TARGETS), ("ve", ve, TARGETS), ("flow", FLOWS, FLOW_TARGETS))
    for scaling, grids, targets in some:
        for name, problem in steps(large, targets, grids, first):
            yield f"{scaling}/{name}", problem | {"scaling": scaling}


def steps(large, targets=TARGETS, grids=GRIDS, first=0):
    """First, middle and last step of each grid: (id, problem); all targets on the plain ones.

    Elsewhere one target a step in turn; if large, all targets, and all steps of short grids
    """
    for g, (name, sigmas) in enumerate(grids.items()):
        N = len(sigmas) - 1
        some = sorted({min(first, N - 1), N // 2, N - 1})
        for i in range(N) if large and N < 8 else some:
            for t, target in enumerate(targets):
                if (
                    large
                    or name in (PLAIN, "flow-N7")
                    or (g + i + t) % len(targets) == 0
                ):
                    problem = {"sigmas": sigmas, "index": i, "target": target}
                    yield f"{name}/{target}/step-{i:03d}", problem


def plain(name):
    """Whether a case is on one of the grids that see every setting."""
    return any(grid in name for grid in (PLAIN, "flow-N7", "open-N5"))


def is_x0(problem):
    """Whether a first-order step returns what the model said: x0_hat, at no noise."""
    return ends(problem) and problem["target"] == "x0"


def said(problem, output=Y, index=None):
    """An output that a model might give; a score by a power of two as large as 1 / sigma."""
    if problem["target"] != "score":
        return output
    sigma = problem["sigmas"][problem["index"] if index is None else index]
    size = 2.0 ** -round(math.log2(sigma))
    return [[size * y for y in row] for row in output]


def past(p, m):
    """Levels, x0_hat and eps_hat of this step and the earlier ones, newest first."""
    told = [*p["history"], (p["x"], p["output"])]
    found = []
    for j, (x, y) in enumerate(reversed(told)):
        at = level(p, m, p["index"] - j)
        found.append((at, *x0_eps(p, m, x, y, at)))
    return found


EARLIER = [
    [[[2.5, -1.25], [0.375, 1.75]], [[0.125, -0.875], [1.125, -0.25]]],
    [[[1.75, -0.375], [-0.25, 2.25]], [[0.875, -1.375], [0.4375, 0.625]]],
    [[[1.5, -0.75], [-0.5, 1.875]], [[0.4375, -1.0625], [0.9375, 0.1875]]],
]


def history(problem, length):
    """The pairs of the earlier steps that are kept, oldest first."""
    first = max(problem["index"] - length, 0)
    kept = range(first, problem["index"])
    pairs = EARLIER[len(EARLIER) - len(kept) :]
    return [[x, said(problem, y, i)] for i, (x, y) in zip(kept, pairs, strict=True)]


def told(problem, length, **more):
    """Return the inputs of a step that remembers at most so many earlier ones."""
    said_now = {"x": EARLIER[0][0][::-1], "output": said(problem, EARLIER[1][1][::-1])}
    return said_now | {"history": history(problem, length)} | more
