"""Wrong forms of EDM's stochastic step: its noise, and how much of it."""

from refdiff.oracle.museum.readings import applies, synthetic
from refdiff.oracle.truth import sigma as right
from refdiff.oracle.truth.levels import now_then


def second_at_hat(p, m, x, x_2, now, then):
    """STP-01: x0_hat and the divisor of the second slope at the first level."""
    return right.slope(p, m, x_2, p["output_2"], now)


def churned(gamma=None, grown=None, s_noise=None, short=False, second=None):
    """EDM's step with another gamma, noise, or width of the Heun step."""

    def wrong(p, m):
        (one, s), then = now_then(p, m)
        g = (gamma or right.gamma)(p, m)
        applies(g != 0)
        hat = s * (1 + g)
        size = grown(hat, s) if grown else m.sqrt(hat * hat - s * s)
        x = p["x"] + (p["s_noise"] if s_noise is None else s_noise) * size * p["z"]
        if second:
            applies(then[1] != 0)
            d = right.slope(p, m, x, p["output"], (one, hat))
            x_2, h = x + (then[1] - hat) * d, then[1] - hat
            d_2 = second(p, m, x, x_2, (one, hat), then)
            return {"x_prev": x + h * (d + d_2) / 2}
        return right.heun_from(p, m, x, (one, s if short else hat), then)

    return wrong


def _no_window(p, m):
    wide = p | {"s_min": m.number(0.0), "s_max": m.number(1e9)}
    return right.gamma(wide, m)


def _no_cap(p, m):
    inside = right.gamma(p, m) != 0
    return p["churn"] / (len(p["sigmas"]) - 1) if inside else m.number(0.0)


def _no_share(p, m):
    """Churn itself, not its N-th part."""
    return right.gamma(p | {"churn": p["churn"] * (len(p["sigmas"]) - 1)}, m)


def _levels_counted(p, m):
    """Churn over the number of levels, the last zero included."""
    N = len(p["sigmas"]) - 1
    return right.gamma(p | {"churn": p["churn"] * N / (N + 1)}, m)


CHURN = "x + s_noise sqrt(sigma_hat^2 - sigma^2) z"
GAMMA = "min(churn / N, sqrt(2) - 1) within [s_min, s_max]"
EXHIBITS = (
    *(
        synthetic(f"churn-{slug}", {"edm_heun": form}, wrong, right_)
        for slug, form, wrong, right_ in (
            ("no-root", churned(grown=lambda a, b: a * a - b * b), "no root", CHURN),
            ("linear", churned(grown=lambda a, b: a - b), "sigma_hat - sigma", CHURN),
            ("s-noise", churned(s_noise=1), "s_noise forgotten", CHURN),
            (
                "from-sigma",
                churned(short=True),
                "Heun's step from sigma",
                "from sigma_hat",
            ),
            ("no-window", churned(_no_window), "at every sigma", GAMMA),
            ("no-cap", churned(_no_cap), "churn / N, however large", GAMMA),
            ("no-share", churned(_no_share), "churn for churn / N", GAMMA),
            ("levels", churned(_levels_counted), "churn / (N + 1)", GAMMA),
        )
    ),
)
