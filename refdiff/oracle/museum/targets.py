"""Wrong readings of what a model predicts.

A reading is like `from_output`: (target, x, output, signal, noise) -> x0, eps.
"""

from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.targets import from_output, to_output

DIFFUSERS = "https://github.com/huggingface/diffusers/"
TINY = 2.0**-24  # what stands for alpha_bar = 0 where it was patched


def root(v, m):
    """The square root, refused below 0, where a program has no number."""
    if v < 0:
        raise ValueError("no square root")
    return m.sqrt(v)


def only(target, *names):
    """Refuse the targets that a bug leaves alone."""
    if target not in names:
        raise ValueError(f"no effect on {target}")


def _v_sign(target, x, y, signal, noise):
    only(target, "v")
    return from_output("v", x, -y, signal, noise)


def _v_swapped(target, x, y, signal, noise):
    only(target, "v")
    return noise * x - signal * y, signal * x + noise * y


def _v_as_eps(target, x, y, signal, noise):
    only(target, "v")
    return from_output("eps", x, y, signal, noise)


def _v_as_x0(target, x, y, signal, noise):
    only(target, "v")
    return from_output("x0", x, y, signal, noise)


def _score_sign(target, x, y, signal, noise):
    only(target, "score")
    return from_output("score", x, -y, signal, noise)


def _score_as_minus_eps(target, x, y, signal, noise):
    only(target, "score")
    return from_output("eps", x, -y, signal, noise)


def _score_as_eps(target, x, y, signal, noise):
    only(target, "score")
    return from_output("eps", x, y, signal, noise)


def _score_by_variance(target, x, y, signal, noise):
    only(target, "score")
    return from_output("eps", x, -noise * noise * y, signal, noise)


def x0_as_eps(target, x, y, signal, noise):
    """PAR-01: what was predicted as x0 is used as eps too."""
    only(target, "x0")
    return y, y


def _eps_not_divided(target, x, y, signal, noise):
    only(target, "x0")
    return y, x - signal * y


def _x0_not_divided(target, x, y, signal, noise):
    only(target, "eps")
    return x - noise * y, y


def _x0_by_alpha_bar(target, x, y, signal, noise):
    only(target, "eps")
    return (x - noise * y) / (signal * signal), y


def _noise_unrooted(target, x, y, signal, noise):
    return from_output(target, x, y, signal, noise * noise)


def _signal_unrooted(target, x, y, signal, noise):
    return from_output(target, x, y, signal * signal, noise)


def _plus_noise(target, x, y, signal, noise):
    only(target, "eps", "score", "v")
    return from_output(target, x, y, signal, -noise)


READINGS = (  # id, reading, wrong, right
    ("SYN-v-sign", _v_sign, "v = noise x0 - signal eps", "v = signal eps - noise x0"),
    ("SYN-v-swapped", _v_swapped, "x0 = noise x - signal v", "x0 = signal x - noise v"),
    ("SYN-v-as-eps", _v_as_eps, "v used where eps belongs", "v turned into eps"),
    ("SYN-v-as-x0", _v_as_x0, "v used where x0 belongs", "v turned into x0"),
    ("SYN-score-sign", _score_sign, "eps = noise score", "eps = -noise score"),
    (
        "SYN-score-as-minus-eps",
        _score_as_minus_eps,
        "eps = -score",
        "eps = -noise score",
    ),
    ("SYN-score-as-eps", _score_as_eps, "eps = score", "eps = -noise score"),
    (
        "SYN-score-by-variance",
        _score_by_variance,
        "eps = -noise^2 score",
        "eps = -noise score",
    ),
    (
        "SYN-eps-not-divided",
        _eps_not_divided,
        "eps = x - signal x0",
        "eps = (x - signal x0) / noise",
    ),
    (
        "SYN-x0-not-divided",
        _x0_not_divided,
        "x0 = x - noise eps",
        "x0 = (x - noise eps) / signal",
    ),
    (
        "SYN-x0-by-alpha-bar",
        _x0_by_alpha_bar,
        "x0 = (x - noise eps) / alpha_bar",
        "x0 = (x - noise eps) / sqrt(alpha_bar)",
    ),
    (
        "SYN-read-noise-unrooted",
        _noise_unrooted,
        "1 - alpha_bar where x0 and eps are read from the output",
        "sqrt(1 - alpha_bar)",
    ),
    (
        "SYN-read-signal-unrooted",
        _signal_unrooted,
        "alpha_bar where x0 and eps are read from the output",
        "sqrt(alpha_bar)",
    ),
    (
        "SYN-read-noise-sign",
        _plus_noise,
        "noise with the other sign, as in x0 = (x + noise eps) / signal",
        "x0 = (x - noise eps) / signal",
    ),
)


def _levels(p, m):
    if "sigma" in p:
        return m.number(1.0), p["sigma"]
    return m.sqrt(p["alpha_bar"]), m.sqrt(1 - p["alpha_bar"])


def converting(reading):
    """A conversion that reads the output wrongly."""

    def wrong(p, m):
        signal, noise = _levels(p, m)
        x0, eps = reading(p["from"], p["x"], p["output"], signal, noise)
        return {"converted": to_output(p["to"], p["x"], x0, eps, signal, noise)}

    return wrong


def _writing(writing):
    """A conversion that writes wrongly: writing(x0, eps, signal, noise)."""

    def wrong(target):
        def convert(p, m):
            only(p["to"], target)
            signal, noise = _levels(p, m)
            x0, eps = from_output(p["from"], p["x"], p["output"], signal, noise)
            return {"converted": writing(x0, eps, signal, noise)}

        return convert

    return wrong


def _noise_doubled(p, m):
    """PAR-06: a score of data in -1..1 from a denoiser of data in 0..1."""
    if "score" not in (p["from"], p["to"]):
        raise ValueError
    signal, noise = _levels(p, m)
    x0, eps = from_output(p["from"], p["x"], p["output"], signal, 2 * noise)
    return {"converted": to_output(p["to"], p["x"], x0, eps, signal, 2 * noise)}


def patched(p, m):
    """NUM-07: a tiny alpha_bar in place of 0."""
    if p["alpha_bar"] != 0:
        raise ValueError
    tiny = p | {"alpha_bar": m.number(TINY)}
    return converting(from_output)(tiny, m)


CONVERSIONS = ("convert", "convert_ve")
WRITINGS = (  # id, wrong conversion, wrong, right, families
    (
        "SYN-to-v-sign",
        _writing(lambda x0, eps, s, n: n * x0 - s * eps)("v"),
        "v = noise x0 - signal eps",
        "v = signal eps - noise x0",
        ("convert",),
    ),
    (
        "SYN-to-v-swapped",
        _writing(lambda x0, eps, s, n: s * x0 - n * eps)("v"),
        "v = signal x0 - noise eps",
        "v = signal eps - noise x0",
        ("convert",),
    ),
    (
        "SYN-to-score-sign",
        _writing(lambda x0, eps, s, n: eps / n)("score"),
        "score = eps / noise",
        "score = -eps / noise",
        CONVERSIONS,
    ),
    (
        "SYN-to-score-not-divided",
        _writing(lambda x0, eps, s, n: -eps)("score"),
        "score = -eps",
        "score = -eps / noise",
        CONVERSIONS,
    ),
    (
        "SYN-to-score-by-variance",
        _writing(lambda x0, eps, s, n: -eps / (n * n))("score"),
        "score = -eps / noise^2",
        "score = -eps / noise",
        CONVERSIONS,
    ),
)
EXHIBITS = (
    *(
        Exhibit(name, dict.fromkeys(families, f), wrong, right, "", "synthetic")
        for name, f, wrong, right, families in WRITINGS
    ),
    Exhibit(
        "PAR-06",
        dict.fromkeys(CONVERSIONS, _noise_doubled),
        "the noise of data in -1..1 given to a denoiser of data in 0..1, twice too large",
        "the noise halved as the data are",
        "https://github.com/deepinv/deepinv/issues/736",
        "B",
    ),
)
