"""Wrong forms of the straight flow's steps, and one convention."""

from refdiff.oracle.museum.readings import applies, synthetic
from refdiff.oracle.truth import flow as right
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.levels import now_then


def _euler(sign=1, velocity=right.velocity, width=None):
    """Euler's step with another sign, velocity or width."""

    def wrong(p, m):
        now, then = now_then(p, m)
        v = velocity(p, m, p["x"], p["output"], now)
        h = width(now[1], then[1]) if width else then[1] - now[1]
        return {"x_prev": p["x"] + sign * h * v}

    return wrong


def _undivided(p, m, x, y, at):
    applies(p["target"] == "x0")
    return x - y


def _over_signal(p, m, x, y, at):
    applies(p["target"] == "x0")
    return (x - y) / at[0]


def _of_data(p, m, x, y, at):
    applies(p["target"] == "eps")
    return (y - x) / at[1]


def _heun(sign=1, total=None, second=None, start=False):
    """Heun's step with another sign, sum, second velocity or start of the last move."""

    def wrong(p, m):
        now, then = now_then(p, m)
        applies(then[1] != 0)
        x, h = p["x"], sign * (then[1] - now[1])
        v = right.velocity(p, m, x, p["output"], now)
        x_2 = x + h * v
        at, where = (second or _there)(x, x_2, now, then)
        v_2 = right.velocity(p, m, where, p["output_2"], at)
        mean = total(v, v_2) if total else (v + v_2) / 2
        return {"x_prev": (x_2 if start else x) + h * mean}

    return wrong


def _there(x, x_2, now, then):
    return then, x_2


def _to_the_end(p, m):
    """flow_last_step=heun: the second velocity at s = 0 counts as well."""
    now, then = now_then(p, m)
    applies(then[1] == 0 and p["target"] == "flow")
    return {"x_prev": p["x"] - now[1] * (p["output"] + p["output_2"]) / 2}


def _labels(of):
    return lambda p, m: {"label": of(p["scale"], p["sigmas"] * 1)}


STEP = "x + (s' - s) v, s' < s"
HEUN = "x + (s' - s) (v + v_2) / 2"
EXHIBITS = (
    Exhibit(
        "SDE-08",
        {"flow_euler": _euler(-1), "flow_heun": _heun(-1)},
        "the velocity turned round and the time run down: two signs that meet",
        STEP,
        "https://github.com/hustvl/LightningDiT/issues/89",
        "B",
    ),
    Exhibit(
        "PAR-08",
        {"flow_label": _labels(lambda scale, s: scale * (scale * s))},
        "the label scaled twice",
        "scale s",
        "https://github.com/stepfun-ai/Step1X-Edit/issues/91",
        "A",
        "TABLE",
    ),
    Exhibit(
        "flow_last_step=heun",
        {"flow_heun": _to_the_end},
        "the last step of second order too, with a velocity at s = 0",
        "the last step is Euler's",
        "https://github.com/rtqichen/torchdiffeq",
        "convention",
    ),
    *(
        synthetic(f"flow-{slug}", {"flow_euler": form}, wrong, STEP)
        for slug, form, wrong in (
            ("undivided", _euler(velocity=_undivided), "v = x - x0_hat"),
            (
                "over-signal",
                _euler(velocity=_over_signal),
                "v = (x - x0_hat) / (1 - s)",
            ),
            ("over-noise", _euler(velocity=_of_data), "v = (eps_hat - x) / s"),
            ("width", _euler(width=lambda s, t: -s), "to s = 0 at once"),
            (
                "next-width",
                _euler(width=lambda s, t: -t),
                "the next s for the step's width",
            ),
        )
    ),
    *(
        synthetic(f"flow-heun-{slug}", {"flow_heun": form}, wrong, HEUN)
        for slug, form, wrong in (
            ("sum", _heun(total=lambda v, w: v + w), "v + v_2 without the half"),
            ("first", _heun(total=lambda v, w: v), "v alone"),
            ("second", _heun(total=lambda v, w: w), "v_2 alone"),
            ("from-end", _heun(start=True), "the mean added to the Euler end"),
            ("level", _heun(second=lambda x, y, a, b: (a, y)), "v_2 with the first s"),
            ("point", _heun(second=lambda x, y, a, b: (b, x)), "v_2 at the old x"),
        )
    ),
    *(
        synthetic(f"label-{slug}", {"flow_label": _labels(of)}, wrong, "scale s")
        for slug, of, wrong in (
            ("unscaled", lambda scale, s: s, "s itself"),
            ("turned", lambda scale, s: scale * (1 - s), "scale (1 - s)"),
            ("less-one", lambda scale, s: (scale - 1) * s, "(scale - 1) s"),
        )
    ),
)
