"""Losses at given parameters and their gradients, and one step of Adam, at 50 digits."""

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.network import (
    PARAMS,
    backward,
    forward,
    pushed,
)
from refdiff.oracle.truth.schedules import alpha_bar_of

X0 = [[1.5, -0.75], [0.25, 2.0], [-1.25, 0.5]]
EPS = [[-0.5, 1.25], [0.875, -0.375], [1.0, 0.625]]
LINEAR = {"kind": "linear", "T": 1000, "beta_1": 1e-4, "beta_T": 0.02}
COSINE = {"kind": "cosine", "T": 137, "s": 0.008, "beta_max": 0.999}
SILU = "silu(silu(x W0 + b0) W1 + b1) W2 + b2, W of shape (inputs, outputs)"
GRADS = "loss, and its gradient by W0, b0, ..., b2. "


def _column(values):
    return np.array(values, object)[:, None]


def levels(p, m):
    """Signal and noise of each row, as columns."""
    bar = [alpha_bar_of(p["schedule"], m)[k] for k in p["k"]]
    return _column([m.sqrt(b) for b in bar]), _column([m.sqrt(1 - b) for b in bar])


def with_time(x, times, m):
    """A network's input: x beside each row's time."""
    return np.concatenate([x, _column(times)], axis=1)


def discrete(p, m):
    """The network's input and target, and the rows' weights, of a discrete loss."""
    signal, noise = levels(p, m)
    times = [m.number(float(k)) / p["schedule"]["T"] for k in p["k"]]
    x, y = signal * p["x0"] + noise * p["eps"], _target(p, signal, noise)
    snr = (signal / noise) ** 2
    return with_time(x, times, m), y, _weight(p, snr)


def _target(p, signal, noise):
    if p["target"] == "eps":
        return p["eps"]
    return p["x0"] if p["target"] == "x0" else signal * p["eps"] - noise * p["x0"]


def _weight(p, snr):
    """min(SNR, gamma) over the target's own SNR: 1, SNR, SNR + 1; or 1."""
    if p["weight"] == "simple":
        return snr / snr
    least = np.frompyfunc(lambda s: min(s, p["gamma"]), 1, 1)(snr)
    own = {"x0": snr / snr, "eps": snr, "v": snr + 1}[p["target"]]
    return least / own


def score_matching(p, m):
    """Input, target and weight of denoising score matching at each row's sigma."""
    sigma = _column(list(p["sigma"]))
    x = p["x0"] + sigma * p["eps"]
    return with_time(x, list(p["sigma"]), m), -p["eps"] / sigma, sigma * sigma / 2


def flow(p, m):
    """Input, target and weight of flow matching: x = (1-s) x0 + s eps, v = eps - x0."""
    s = _column(list(p["s"]))
    x = (1 - s) * p["x0"] + s * p["eps"]
    one = s / s
    return with_time(x, list(p["s"]), m), p["eps"] - p["x0"], one


def _mean(p, of, m):
    """Mean over rows of weight |y_hat - y|^2, and its derivative by y_hat."""
    x, y, weight = of(p, m)
    off = forward(p, x, m)[0] - y
    return x, (weight * off * off).sum() / len(x), 2 * weight * off / len(x)


def loss_by(of, back=backward):
    """Return the function that gives the loss and its gradient."""

    def loss(p, m):
        x, value, dy = _mean(p, of, m)
        return {"loss": value, **back(p, x, dy, m)}

    return loss


def mlp(p, m):
    """The network's output, and the gradient of sum dy y."""
    y, _ = forward(p, p["x"], m)
    return {"y": y, **backward(p, p["x"], p["dy"], m)}


def mlp_again(p, m):
    """The output by rows and units one by one, the gradient by pushing forward."""
    y = [[_unit(p, row, j, m) for j in range(2)] for row in p["x"]]
    return {"y": np.array(y, object), **pushed(p, p["x"], p["dy"], m)}


def _unit(p, row, j, m):
    h = row
    for W, b in (("W0", "b0"), ("W1", "b1")):
        width = range(len(p[b]))
        a = [sum(h[i] * p[W][i, k] for i in range(len(h))) + p[b][k] for k in width]
        h = [v * (1 + m.tanh(v / 2)) / 2 for v in a]  # sigmoid by tanh
    return sum(h[i] * p["W2"][i, j] for i in range(len(h))) + p["b2"][j]


def adam_step(p, m):
    """One step: params - lr m_hat / (sqrt(v_hat) + eps)."""
    b1, b2, n, g = p["b1"] * 1, p["b2"] * 1, p["step"], p["grad"]  # rounded, once
    first = b1 * p["m"] + (1 - b1) * g
    second = b2 * p["v"] + (1 - b2) * g * g
    first_hat, second_hat = first / (1 - b1**n), second / (1 - b2**n)
    new = p["params"] - p["lr"] * first_hat / (m.sqrt(second_hat) + p["adam_eps"])
    return {"params": new, "m": first, "v": second}


def adam_again(p, m):
    """The same with both corrections moved into the rate and eps, as the paper's note."""
    b1, b2, g = p["b1"] * 1, p["b2"] * 1, p["grad"]
    first = p["m"] + (1 - b1) * (g - p["m"])
    second = p["v"] + (1 - b2) * (g * g - p["v"])
    gap1, gap2 = (1 - m.exp(p["step"] * m.log(b)) for b in (b1, b2))
    rate = p["lr"] * m.sqrt(gap2) / gap1
    move = rate * first / (m.sqrt(second) + p["adam_eps"] * m.sqrt(gap2))
    return {"params": p["params"] - move, "m": first, "v": second}


def _inputs(**more):
    return {"x0": X0, "eps": EPS, **PARAMS, **more}


def _discrete_cases(large):
    kinds = [("simple", {}), ("min-snr", {"gamma": 5.0})]
    for name, schedule, k in (
        ("linear-T1000", LINEAR, [3, 499, 999]),
        ("cosine-T137", COSINE, [0, 68, 130]),
    ):
        for target in ("eps", "x0", "v"):
            for weight, more in kinds:
                problem = {"schedule": schedule, "k": k, "target": target}
                yield Case(
                    f"{name}/{target}/{weight}",
                    {**problem, "weight": weight, **more},
                    _inputs(),
                )


def _dsm_cases(large):
    for name, sigma in (("mixed", [0.125, 1.0, 8.0]), ("small", [0.25, 0.25, 0.0625])):
        yield Case(f"sigma-{name}", {}, _inputs(sigma=sigma))


def _flow_cases(large):
    for name, s in (("inner", [0.125, 0.5, 0.75]), ("noise", [0.25, 0.875, 1.0])):
        yield Case(f"s-{name}", {}, _inputs(s=s))


def _mlp_cases(large):
    for name, x in (
        ("near", [[0.5, -0.25, 0.75], [1.0, 0.125, -0.5]]),
        ("far", [[6.0, -4.5, 3.0], [-7.5, 2.0, 5.0]]),
    ):
        dy = [[0.75, -1.25], [0.5, 0.3125]]
        yield Case(name, {}, {"x": x, "dy": dy, **PARAMS})


def _adam_cases(large):
    grad, zero = [0.5, -2.0, 0.03125, 8.0], [0.0] * 4
    kept = {"m": [0.25, -1.0, 0.125, 4.0], "v": [0.5, 2.0, 0.0625, 16.0]}
    for step, state in (
        (1, {"m": zero, "v": zero}),
        (2, kept),
        (10, kept),
        (1000, kept),
    ):
        for adam_eps in (1e-8, 0.125):
            numbers = {"lr": 1e-3, "b1": 0.9, "b2": 0.999, "adam_eps": adam_eps}
            arrays = {"params": [0.0, 0.0625, -0.03125, 0.0], "grad": grad, **state}
            name = f"step{step}/eps{adam_eps:g}"
            yield Case(name, {"step": step, **numbers}, arrays)


def _family(name, source, text, of, cases):
    return Family(
        name, "LAW", "loss", source, text, loss_by(of), loss_by(of, pushed), cases
    )


FAMILIES = (
    Family(
        "mlp",
        "LAW",
        "loss",
        "chain rule",
        f"y = {SILU}, for x (n, 3); and the gradient of sum(dy * y) by each parameter. "
        "Returns y and W0, b0, W1, b1, W2, b2.",
        mlp,
        mlp_again,
        _mlp_cases,
    ),
    _family(
        "denoising_loss",
        "Ho20 (14); Hang23 3.3 for min-snr",
        f"{GRADS}mean over rows of weight times the sum of squares of net([x_t, k/T]) "
        f"less the target (eps, x0, v = signal eps - noise x0), net = {SILU}; "
        "x_t = signal x0 + noise eps at the row's k. weight simple: 1; min-snr: "
        "min(SNR, gamma) over 1 (x0), SNR (eps), SNR + 1 (v).",
        discrete,
        _discrete_cases,
    ),
    _family(
        "score_matching_loss",
        "Vincent11 (4.3); SongE19 (5), (6)",
        f"{GRADS}mean over rows of sigma^2/2 times the sum of squares of "
        f"net([x, sigma]) + eps / sigma, x = x0 + sigma eps, net = {SILU}.",
        score_matching,
        _dsm_cases,
    ),
    _family(
        "flow_loss",
        "Lipman23 (23) with x0 for data",
        f"{GRADS}mean over rows of the sum of squares of net([x, s]) - (eps - x0), "
        f"x = (1 - s) x0 + s eps, net = {SILU}.",
        flow,
        _flow_cases,
    ),
    Family(
        "adam_step",
        "LAW",
        "loss",
        "Kingma15 Algorithm 1",
        "Adam's step number `step` = 1, 2, ...: new params, m and v from params, grad, m, "
        "v, with lr, b1, b2 and adam_eps added to the root. Returns params, m, v.",
        adam_step,
        adam_again,
        _adam_cases,
        {"params": "entry", "m": "entry", "v": "entry"},
    ),
)
