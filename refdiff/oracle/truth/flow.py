"""Flow matching at 50 digits: x = (1 - s) x0 + s eps, v = eps - x0, and s falls.

The flow is dx/ds = v. A model may also say x0_hat, or eps_hat where s < 1.
"""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.levels import Y_2, X, Y, is_x0, now_then, steps, x0_eps


def velocity(p, m, x, y, at):
    """The velocity from what the model said, by the point of its line that is not at x."""
    if p["target"] == "flow":
        return y
    if p["target"] == "x0":
        return (x - y) / at[1]
    return (y - x) / at[0]


def velocity_again(p, m, x, y, at):
    """The difference eps_hat - x0_hat."""
    x0, eps = x0_eps(p, m, x, y, at)
    return eps - x0


def euler(p, m):
    """State x + (s' - s) v."""
    now, then = now_then(p, m)
    v = velocity(p, m, p["x"], p["output"], now)
    return {"x_prev": p["x"] + (then[1] - now[1]) * v}


def euler_again(p, m):
    """(1 - s') x0 + s' eps."""
    now, then = now_then(p, m)
    x0, eps = x0_eps(p, m, p["x"], p["output"], now)
    return {"x_prev": then[0] * x0 + then[1] * eps}


def heun(p, m):
    """State x + h (v + v_2) / 2, v_2 at x + h v; Euler's step if it ends at s = 0."""
    now, then = now_then(p, m)
    if then[1] == 0:
        return euler(p, m)
    h, v = then[1] - now[1], velocity(p, m, p["x"], p["output"], now)
    v_2 = velocity(p, m, p["x"] + h * v, p["output_2"], then)
    return {"x_prev": p["x"] + h * (v + v_2) / 2}


def heun_again(p, m):
    """The mean of the Euler end and of the end that the second velocity gives."""
    now, then = now_then(p, m)
    end = euler_again(p, m)["x_prev"]
    if then[1] == 0:
        return {"x_prev": end}
    v_2 = velocity_again(p, m, end, p["output_2"], then)
    return {"x_prev": (end + p["x"] + (then[1] - now[1]) * v_2) / 2}


def label(p, m):
    """Scale s: the time that the network is told."""
    return {"label": p["scale"] * (p["sigmas"] * 1)}


def label_again(p, m):
    """The same, one at a time."""
    made = [s / (m.number(1.0) / p["scale"]) for s in p["sigmas"]]
    return {"label": 0 * p["sigmas"] + made}


WHOLE = "whole-N7"
GRIDS = {
    WHOLE: [1.0, 0.9375, 0.8125, 0.625, 0.375, 0.25, 0.0625, 0.0],
    "one-N1": [0.75, 0.0],
    "two-N2": [0.875, 0.3125, 0.0],
    "open-N5": [0.9375, 0.75, 0.5625, 0.375, 0.25, 0.125],
    "even-N26": [(26 - i) / 32 for i in range(27)],
    "shift3-N33": [
        float(f"{3 * s / (1 + 2 * s):.5g}") for s in (i / 34 for i in range(33, 0, -1))
    ]
    + [0.0],
    "even-N64": [(64 - i) / 64 for i in range(65)],
}
TARGETS = ("flow", "x0", "eps")


def _cases(large, **more):
    """Every target on every grid; eps_hat says nothing of x0 at s = 1."""
    for name, problem in steps(large, TARGETS, GRIDS):
        blind = problem["sigmas"][problem["index"]] == 1 and problem["target"] == "eps"
        result = "must-refuse" if blind else "valid"
        inputs = {"x": X, "output": Y} | more
        problem = problem | {"scaling": "flow"}
        yield Case(name, problem, inputs, result, is_x0(problem))


def _labels(large):
    for name, sigmas in GRIDS.items():
        for scale in (1000.0, 137.0):
            yield Case(f"scale{scale:g}/{name}", {"sigmas": sigmas, "scale": scale})


FLOW = (
    "x = (1 - s) x0 + s eps; output is what the model said at x: flow is v = eps - x0. "
)
FAMILIES = (
    Family(
        "flow_euler",
        "STEP",
        "step",
        "definition of dx/ds = eps - x0",
        "One Euler step of the straight flow from sigmas[index] to the next. " + FLOW,
        euler,
        euler_again,
        _cases,
        affine=("x", "output"),
    ),
    Family(
        "flow_heun",
        "STEP",
        "step",
        "definition of dx/ds = eps - x0",
        "One Heun step of the straight flow; output_2 is what the model said at the end of "
        "the Euler step. A step to s = 0 is Euler's. " + FLOW,
        heun,
        heun_again,
        lambda large: _cases(large, output_2=Y_2),
        affine=("x", "output", "output_2"),
    ),
    Family(
        "flow_label",
        "TABLE",
        "table",
        "definition of the time that a network is told",
        "scale s for each s of the grid, once.",
        label,
        label_again,
        _labels,
        kinds={"label": "entry"},
    ),
)
