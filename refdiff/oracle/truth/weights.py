"""What a loss is weighed by at each level, and what EDM wraps a network in."""

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.schedules import alpha_bar_of, before, signal_again
from refdiff.oracle.truth.tables import RESCALED, SCHEDULES, spread

KINDS = ("simple", "snr", "truncated-snr", "min-snr", "elbo")


def snr_of(p, m):
    """SNR at the entries k, and one step nearer to the data."""
    bar = alpha_bar_of(p["schedule"], m)
    ratio = bar / (1 - bar)
    prev = np.concatenate([m.number(np.zeros(1)), ratio[:-1]])  # of k = 0 not asked
    return ratio[p["k"]], prev[p["k"]]


def loss_weight(p, m):
    """The weight of x0's error; over (signal / noise)^2 for eps, over SNR + 1 for v."""
    pairs = zip(*snr_of(p, m), strict=True)
    return {"weight": np.array([_weight(now, prev, p, m) for now, prev in pairs])}


def _weight(now, prev, p, m):
    if p["kind"] == "simple":
        return m.number(1.0)
    if p["target"] == "eps" and p["kind"] in ("snr", "min-snr") and now == 0:
        return m.number(1.0)  # the limit: both are the SNR itself once it is small
    weight = x0_weight(now, prev, p)
    by = {"x0": 1, "eps": m.sqrt(now) ** 2, "v": now + 1}[p["target"]]
    return weight / by


def x0_weight(now, prev, p):
    """The weight of x0's squared error, from the SNR here and one step nearer to data."""
    if p["kind"] == "snr":
        return now
    if p["kind"] == "truncated-snr":
        return now if now > 1 else now * 0 + 1
    if p["kind"] == "min-snr":
        return now if now < p["gamma"] else p["gamma"] * 1
    return (prev - now) / 2


def _loss_weight_again(p, m):
    """Over noise^2 for x0, over 1 for v, over signal^2 for eps: one number above.

    It is w / (1 + SNR), the weight of v: y^2, max(y^2, n), min(y^2, g n), and
    (y'^2 - y^2) / (2 n') for the bound;  y is the signal, n = noise^2
    """
    y = signal_again(p["schedule"], m)
    signal, noise = y**2, (1 - y) * (1 + y)
    above = _of_v(p, signal, noise, before(signal, m), m)
    by = {"x0": noise, "eps": signal, "v": 0 * y + 1}[p["target"]]
    return {"weight": np.array([_ratio(above[k], by[k], p, m) for k in p["k"]])}


def _of_v(p, y2, n, y2_prev, m):
    if p["kind"] == "snr":
        return y2
    if p["kind"] == "truncated-snr":
        return np.maximum(y2, n)
    if p["kind"] == "min-snr":
        return np.minimum(y2, p["gamma"] * n)
    n_prev = np.concatenate([n[:1], n[:-1]])  # of k = 0 not asked
    return (y2_prev - y2) / (2 * n_prev)


def _ratio(above, by, p, m):
    """The weight; 1 if it is simple, and where both vanish."""
    if p["kind"] == "simple" or (above == 0 and by == 0):
        return m.number(1.0)
    return above / by


def _loss_cases(large):
    names = ("linear-T1000", "scaled-linear-T1000", "cosine-T137", "linear-T2")
    zero = ("linear-T1000-zero-snr", "linear-T137-zero-snr", "linear-T2-zero-snr")
    every = SCHEDULES | RESCALED
    for name in list(every) if large else (*names, *zero):
        schedule = every[name]
        for kind in KINDS:
            for target in ("eps", "x0", "v"):
                yield from _loss_case(name, schedule, kind, target, large)


def _loss_case(name, schedule, kind, target, large):
    """One list of k, or none; where eps has no finite weight, a refusal besides."""
    k = spread(schedule["T"], large)
    problem = {"schedule": schedule, "kind": kind, "target": target}
    if kind == "min-snr":
        problem["gamma"] = 5.0
    if kind == "elbo":
        k = k[1:]  # the bound's first term has no such weight
    if target == "eps" and kind in ("truncated-snr", "elbo") and "zero_snr" in schedule:
        last = {**problem, "k": k[-1:]}
        yield Case(f"{name}/{kind}/{target}/zero", last, result="must-refuse")
        k = k[:-1]
    if k:
        yield Case(f"{name}/{kind}/{target}", {**problem, "k": k})


def logit_normal_weight(p, m):
    """Density at t of the number whose logit is normal."""
    t, std = p["t"], p["std"]
    z = (m.log(t / (1 - t)) - p["mean"]) / std
    return {"weight": m.exp(-z * z / 2) / (std * m.sqrt(2 * m.pi) * t * (1 - t))}


def _logit_normal_again(p, m):
    """The density of the odds, log-normal, times how fast they grow: (1 + odds)^2."""
    odds, var = p["t"] / (1 - p["t"]), p["std"] ** 2
    exponent = -((m.log(odds) - p["mean"]) ** 2) / (2 * var) - m.log(odds)
    return {"weight": m.exp(exponent) * (1 + odds) ** 2 / m.sqrt(2 * m.pi * var)}


def _logit_normal_cases(large):
    t = [0.0625, 0.1875, 0.375, 0.5625, 0.8125, 0.96875]
    for mean in (0.0, 0.75, -0.5):
        for std in (1.0, 0.625):
            yield Case(f"mean{mean:g}/std{std:g}", {"mean": mean, "std": std}, {"t": t})


SIGMA = [0.001953125, 0.03125, 0.3125, 0.625, 0.75, 1.5, 6.5, 80.0]


def edm_precondition(p, m):
    """c_skip, c_out, c_in, c_noise at each sigma."""
    s, d = p["sigma"], p["sigma_data"]
    total = s * s + d * d
    return {
        "c_skip": d * d / total,
        "c_out": s * d / m.sqrt(total),
        "c_in": 1 / m.sqrt(total),
        "c_noise": m.log(s) / 4,
    }


def _precondition_again(p, m):
    """What gives unit variances: the regression on y, its residual, y's deviation."""
    s, d = p["sigma"], p["sigma_data"]
    c_in = 1 / (d * m.sqrt(1 + (s / d) ** 2))
    c_skip = (d * c_in) ** 2
    residual = (1 - c_skip) ** 2 * d**2 + c_skip**2 * s**2
    return {
        "c_skip": c_skip,
        "c_out": m.sqrt(residual),
        "c_in": c_in,
        "c_noise": m.log(m.sqrt(m.sqrt(s))),
    }


def edm_weight(p, m):
    """(sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
    s, d = p["sigma"], p["sigma_data"]
    return {"weight": (s * s + d * d) / (s * d) ** 2}


def _edm_weight_again(p, m):
    """Two precisions added."""
    return {"weight": 1 / p["sigma_data"] ** 2 + 1 / p["sigma"] ** 2}


def _edm_cases(large):
    for d in (0.6, 0.5, 1.25):
        yield Case(f"data{d:g}", {"sigma_data": d}, {"sigma": SIGMA})
        yield Case(f"data{d:g}/alone", {"sigma_data": d}, {"sigma": SIGMA[4:5]})


def _family(name, source, text, truth, again, cases, outputs=("weight",)):
    kinds = dict.fromkeys(outputs, "entry")
    return Family(name, "TABLE", "table", source, text, truth, again, cases, kinds)


FAMILIES = (
    _family(
        "loss_weight",
        "Salimans22 4; Hang23 3.4; Chan v3 (2.42)-(2.44)",
        "Weight of the target's own squared error at the entries k. Of x0's error it is "
        "snr: SNR; truncated-snr: max(SNR, 1); min-snr: min(SNR, gamma); elbo: half of "
        "SNR[k-1] - SNR[k]; that over SNR for eps, over SNR + 1 for v, and 1 in the limit "
        "SNR = 0 of min-snr and snr for eps. simple: 1 for each. Else an infinite "
        "weight must be refused.",
        loss_weight,
        _loss_weight_again,
        _loss_cases,
    ),
    _family(
        "logit_normal_weight",
        "definition",
        "Density at each t of a number in (0, 1) whose logit has this mean and std.",
        logit_normal_weight,
        _logit_normal_again,
        _logit_normal_cases,
    ),
    _family(
        "edm_precondition",
        "Karras22 Table 1",
        "c_skip, c_out, c_in and c_noise = log(sigma)/4, for data of std sigma_data.",
        edm_precondition,
        _precondition_again,
        _edm_cases,
        ("c_skip", "c_out", "c_in", "c_noise"),
    ),
    _family(
        "edm_weight",
        "Karras22 Table 1",
        "Weight of the denoised image's squared error, 1 / c_out^2.",
        edm_weight,
        _edm_weight_again,
        _edm_cases,
    ),
)
