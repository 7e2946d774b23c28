"""What a model predicts: eps, x0, v or the score, of x = signal x0 + noise eps.

v = signal eps - noise x0;  score = -eps / noise.
"""

from itertools import permutations

from refdiff.oracle.truth.family import Case, Family

X = [[1.25, -0.625], [-0.4375, 2.125]]
OUTPUT = [[0.5625, -1.1875], [0.8125, 0.3125]]
X0 = [[1.5, -0.75], [0.3125, 2.25]]
VP = (0.0, 2.0**-10, 0.0625, 0.25, 0.75, 1 - 2.0**-9)
VE = (2.0**-6, 0.5, 80.0)


def x0_eps(p, m, ab):
    """x0_hat and eps_hat from the model's output, whatever it predicts."""
    return from_output(p["target"], p["x"], p["output"], m.sqrt(ab), m.sqrt(1 - ab))


def from_output(target, x, y, signal, noise):
    """x0 and eps that make x, from an output y; signal^2 + noise^2 = 1 for v."""
    if target == "eps":
        return (x - noise * y) / signal, y
    if target == "x0":
        return y, (x - signal * y) / noise
    if target == "v":
        return signal * x - noise * y, noise * x + signal * y
    return (x + noise * noise * y) / signal, -noise * y


def score_of(target, x, y, signal, noise):
    """The score, from an output y at x."""
    if target == "eps":
        return -y / noise
    if target == "x0":
        return (signal * y - x) / (noise * noise)
    if target == "v":
        return -(noise * x + signal * y) / noise
    return y


def x0_by_score(p, m, ab):
    """x0_hat by way of the score, as programs written in scores find it.

    Where ab = 0 the score leaves x0 unknown, and x0 or v is read as it is.
    """
    if ab == 0:
        return x0_eps(p, m, ab)[0]
    x, signal, noise = p["x"], m.sqrt(ab), m.sqrt(1 - ab)
    score = score_of(p["target"], x, p["output"], signal, noise)
    return (x + noise * noise * score) / signal


def to_output(target, x, x0, eps, signal, noise):
    """Return what a model of any target says where x0 and eps are known."""
    if target == "v":
        return signal * eps - noise * x0
    if target == "score":
        return -eps / noise
    return x0 if target == "x0" else eps


def _levels(p, m):
    """Signal and noise: of alpha_bar, or 1 and sigma."""
    if "sigma" in p:
        return m.number(1.0), p["sigma"]
    return m.sqrt(p["alpha_bar"]), m.sqrt(1 - p["alpha_bar"])


def convert(p, m):
    """From one target to x0 and eps, and on to the other."""
    signal, noise = _levels(p, m)
    x0, eps = from_output(p["from"], p["x"], p["output"], signal, noise)
    return {"converted": to_output(p["to"], p["x"], x0, eps, signal, noise)}


def convert_again(p, m):
    """From one target to the score, by it to x0, and by that to the other.

    Programs that keep everything as x0 may lose as many digits; eps and the score are a
    factor apart, and no one goes that way between them.
    """
    x, (signal, noise) = p["x"], _levels(p, m)
    if signal == 0:  # x is noise: eps = x, and v = -x0
        return {"converted": {"eps": x, "score": -x}.get(p["to"], -p["output"])}
    score = score_of(p["from"], x, p["output"], signal, noise)
    if {p["from"], p["to"]} == {"eps", "score"}:
        return {"converted": score if p["to"] == "score" else -noise * score}
    x0 = (x + noise * noise * score) / signal
    found = {
        "eps": (x - signal * x0) / noise,
        "x0": x0,
        "v": (signal * x - x0) / noise,
        "score": (signal * x0 - x) / (noise * noise),
    }
    return {"converted": found[p["to"]]}


def _cases(name, values, targets):
    """Every pair of different targets at every level.

    At alpha_bar = 0, where x is noise, eps and the score say nothing of x0 nor of v.
    """
    for value in values:
        for start, end in permutations(targets, 2):
            silent = value == 0 and start in ("eps", "score")
            if silent and end in ("eps", "score"):
                continue  # an output that contradicts x
            yield Case(
                f"{name}{value:.4g}/{start}-to-{end}",
                {name: value, "from": start, "to": end},
                {"x": X, "output": OUTPUT},
                result="must-refuse" if silent else "valid",
                degenerate=value == 0 and end == "eps",  # x itself
            )


FAMILIES = (
    Family(
        "convert",
        "STEP",
        "step",
        "Salimans22 D; Efron11 (1.4)",
        "What a model says at x of x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps, "
        "from one target to another of eps, x0, v = signal eps - noise x0 and the score.",
        convert,
        convert_again,
        lambda large: _cases("alpha_bar", VP, ("eps", "x0", "v", "score")),
        affine=("x", "output"),
    ),
    Family(
        "convert_ve",
        "STEP",
        "step",
        "Karras22 (3); Efron11 (1.4)",
        "The same for x = x0 + sigma eps, from one to another of eps, x0 and the score.",
        convert,
        convert_again,
        lambda large: _cases("sigma", VE, ("eps", "x0", "score")),
        affine=("x", "output"),
    ),
)
