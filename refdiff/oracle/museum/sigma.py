"""Wrong forms of the solvers in sigma: each the right step with one piece replaced."""

from refdiff.oracle.museum.churn import churned, second_at_hat
from refdiff.oracle.museum.readings import applies, synthetic
from refdiff.oracle.truth import sigma as right
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.levels import now_then, x0_eps

DIFFUSERS = "https://github.com/huggingface/diffusers/"


def _euler(sign=1, divisor=None, x0_of=None):
    """Euler's step with another sign, divisor of the slope, or x0_hat."""

    def wrong(p, m):
        now, then = now_then(p, m)
        x0 = (x0_of or _x0)(p, m, p["x"], p["output"], now)
        d = (p["x"] - x0) / (divisor(now[1], then[1]) if divisor else now[1])
        return {"x_prev": p["x"] + sign * (then[1] - now[1]) * d}

    return wrong


def _x0(p, m, x, y, at):
    return x0_eps(p, m, x, y, at)[0]


def _v_unscaled(p, m, x, y, at):
    """The form signal x - noise v of the VP scaling, with x that was never scaled to it."""
    applies(p["target"] == "v")
    r = m.sqrt(1 + at[1] * at[1])
    return x / r - at[1] / r * y


def _model_input(p, m, x, y, at):
    """The sample as the network saw it, over sqrt(sigma^2 + 1), where the sample belongs."""
    applies(p["target"] != "x0")
    return _x0(p, m, x / m.sqrt(1 + at[1] * at[1]), y, at)


def _ancestral(split):
    """The ancestral step with another pair sigma_up, sigma_down."""

    def wrong(p, m):
        now, then = now_then(p, m)
        up, down = split(now[1], then[1], p["eta"], m)
        d = right.slope(p, m, p["x"], p["output"], now)
        return {"x_prev": p["x"] + (down - now[1]) * d + up * p["z"]}

    return wrong


def _up_squared(s, t, eta, m):
    up, down = right.split(s, t, eta, m)
    return up * up, down


def _not_down(s, t, eta, m):
    return right.split(s, t, eta, m)[0], t


def _down_only(s, t, eta, m):
    up, down = right.split(s, t, eta, m)
    return 0 * up, down


def _eta_in_variance(s, t, eta, m):
    return right.split(s, t, m.sqrt(eta), m)


def _gap(s, t, eta, m):
    """The noise of reverse diffusion, sqrt(sigma^2 - sigma'^2)."""
    return eta * m.sqrt(s * s - t * t), right.split(s, t, eta, m)[1]


def _down_by_difference(s, t, eta, m):
    up = right.split(s, t, eta, m)[0]
    return up, t - up


def _heun(second=None, mean=None, start=None):
    """Heun's step with another second slope, mean of the two, or start of the last move."""

    def wrong(p, m):
        now, then = now_then(p, m)
        applies(then[1] != 0)
        x, h = p["x"], then[1] - now[1]
        d = right.slope(p, m, x, p["output"], now)
        x_2 = x + h * d
        d_2 = (second or _second)(p, m, x, x_2, now, then)
        total = mean(d, d_2) if mean else (d + d_2) / 2
        return {"x_prev": (x_2 if start else x) + h * total}

    return wrong


def _second(p, m, x, x_2, now, then):
    return right.slope(p, m, x_2, p["output_2"], then)


def _second_divisor(p, m, x, x_2, now, then):
    return (x_2 - _x0(p, m, x_2, p["output_2"], then)) / now[1]


def _second_at_x(p, m, x, x_2, now, then):
    return right.slope(p, m, x, p["output_2"], then)


def _into_zero(p, m):
    """STP-11: a second slope at sigma = 0, where a model knows nothing."""
    now, then = now_then(p, m)
    applies(then[1] == 0)
    x0, eps = x0_eps(p, m, p["x"], p["output"], now)
    _, eps_2 = x0_eps(p, m, x0, p["output_2"], then)
    return {"x_prev": p["x"] - now[1] * (eps + eps_2) / 2}


def _into_zero_middle(p, m):
    """STP-11: sqrt(sigma 0) = 0, and the slope there is taken for the whole step."""
    now, then = now_then(p, m)
    applies(then[1] == 0)
    x0, _ = x0_eps(p, m, p["x"], p["output"], now)
    _, eps_2 = x0_eps(p, m, x0, p["output_2"], then)
    return {"x_prev": p["x"] - now[1] * eps_2}


def _dpm2(middle=None, divisor=None, half=False):
    """The midpoint step with another middle, divisor of its slope, or half its width."""

    def wrong(p, m):
        (one, s), (_, t) = now_then(p, m)
        applies(t != 0)
        c = middle(s, t) if middle else m.sqrt(s * t)
        x = p["x"]
        x_2 = x + (c - s) * right.slope(p, m, x, p["output"], (one, s))
        x0_2 = _x0(p, m, x_2, p["output_2"], (one, c))
        d_2 = (x_2 - x0_2) / (divisor(s, c, t) if divisor else c)
        h = c - s if half else t - s
        return {"x_prev": x + h * d_2}

    return wrong


def _dpm2_from_middle(p, m):
    (one, s), (_, t) = now_then(p, m)
    applies(t != 0)
    c = m.sqrt(s * t)
    x_2 = p["x"] + (c - s) * right.slope(p, m, p["x"], p["output"], (one, s))
    d_2 = right.slope(p, m, x_2, p["output_2"], (one, c))
    return {"x_prev": x_2 + (t - s) * d_2}


def _surplus(p, m):
    """IDX-09: the last level asked twice, as those before."""
    return {"index": [*right.calls(p, m)["index"], len(p["sigmas"]) - 2]}


def _one_call(p, m):
    return {"index": list(range(len(p["sigmas"]) - 1))}


D = "d = (x - x0_hat) / sigma"
UP = "sigma_up^2 = eta^2 sigma'^2 (sigma^2 - sigma'^2) / sigma^2, sigma_down^2 the rest"
HEUN = "x + h (d + d_2) / 2, d_2 at x + h d and sigma'"
MIDDLE = "x + (sigma' - sigma) d_2, d_2 at sqrt(sigma sigma')"
EXHIBITS = (
    Exhibit(
        "STP-01",
        {"heun": _heun(second_at_hat), "edm_heun": churned(second=second_at_hat)},
        "second slope with the first sigma, in x0_hat and as the divisor",
        "with the second sigma",
        DIFFUSERS + "pull/1512",
        "A",
    ),
    Exhibit(
        "STP-11",
        {"heun": _into_zero, "dpm2": _into_zero_middle},
        "a second-order step down to sigma = 0",
        "the last step is Euler's",
        "https://github.com/AUTOMATIC1111/stable-diffusion-webui/pull/5797",
        "A",
    ),
    Exhibit(
        "IDX-09",
        {"heun_calls": _surplus},
        "one call too many, after the last",
        "2 N - 1 calls",
        DIFFUSERS + "pull/1503",
        "A",
        "TABLE",
    ),
    synthetic(
        "calls-first-order", {"heun_calls": _one_call}, "N calls", "2 N - 1 calls"
    ),
    synthetic("euler-sign", {"euler": _euler(-1)}, "sigma - sigma'", "sigma' - sigma"),
    synthetic(
        "euler-next-sigma",
        {"euler": _euler(divisor=lambda s, t: t)},
        "d over sigma'",
        D,
    ),
    synthetic(
        "euler-variance",
        {"euler": _euler(divisor=lambda s, t: s * s)},
        "d over sigma^2, which is the score's",
        D,
    ),
    synthetic(
        "v-unscaled",
        {"euler": _euler(x0_of=_v_unscaled)},
        "x0_hat = (x - sigma v) / sqrt(sigma^2 + 1), of a sample in the other scaling",
        "x / (sigma^2 + 1) - sigma v / sqrt(sigma^2 + 1)",
    ),
    synthetic(
        "model-input-as-sample",
        {"euler": _euler(x0_of=_model_input)},
        "x0_hat from the network's scaled input",
        "from the sample",
    ),
    *(
        synthetic(f"ancestral-{slug}", {"euler_ancestral": _ancestral(pair)}, wrong, UP)
        for slug, pair, wrong in (
            ("up-squared", _up_squared, "noise sigma_up^2"),
            ("not-down", _not_down, "Euler to sigma', noise on top"),
            ("no-noise", _down_only, "Euler to sigma_down, no noise"),
            ("eta-in-variance", _eta_in_variance, "eta before the variance, not eta^2"),
            ("gap", _gap, "noise eta sqrt(sigma^2 - sigma'^2)"),
            ("down-difference", _down_by_difference, "sigma_down = sigma' - sigma_up"),
        )
    ),
    *(
        synthetic(f"heun-{slug}", {"heun": form}, wrong, HEUN)
        for slug, form, wrong in (
            ("sum", _heun(mean=lambda d, e: d + e), "d + d_2 without the half"),
            ("second-only", _heun(mean=lambda d, e: e), "d_2 alone"),
            (
                "first-only",
                _heun(mean=lambda d, e: d),
                "d alone, which is Euler's step",
            ),
            ("from-end", _heun(start=True), "the mean slope added to the Euler end"),
            ("second-divisor", _heun(_second_divisor), "d_2 divided by sigma"),
            ("second-at-x", _heun(_second_at_x), "d_2 from the old x"),
        )
    ),
    *(
        synthetic(f"dpm2-{slug}", {"dpm2": form}, wrong, MIDDLE)
        for slug, form, wrong in (
            ("mean", _dpm2(lambda s, t: (s + t) / 2), "middle (sigma + sigma') / 2"),
            ("divisor", _dpm2(divisor=lambda s, c, t: s), "d_2 divided by sigma"),
            ("divisor-end", _dpm2(divisor=lambda s, c, t: t), "d_2 divided by sigma'"),
            ("half", _dpm2(half=True), "d_2 over half the step only"),
            ("from-middle", _dpm2_from_middle, "the whole step from the middle point"),
        )
    ),
)
