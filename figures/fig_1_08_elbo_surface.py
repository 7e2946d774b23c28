"""The bound of Ex 1.6 over both noise levels: its stated optimum is not the top.

Look along the ridge s = sigma t: the bound rises on it all the way to the likelihood
as t -> 0. Taking the two terms one after the other, the tutorial stops at (1, sigma),
half a nat per dimension below, with a model that is too wide: N(mu, 2 sigma^2), on the
right. The setting is the tutorial's; sigma = 1 and mu = 0 are chosen. Under 2 seconds.
"""

from pathlib import Path

import numpy as np
from matplotlib import colormaps

from refdiff import plots, vae

HERE = Path(__file__).parent
LEVELS = (-8, -4, -2, -1, -0.5, -0.2, -0.05)
TICKS = 0.1, 0.3, 1, 3


def main(out=HERE / "fig_1_08_elbo_surface.png", seed=0, m=241):
    """Return t = s (m,), the surface [s, t] less E log p(x), x and {t: p(x)} on the ridge."""
    t, x = np.geomspace(0.1, 3, m), np.linspace(-5, 5, 401)
    log_p = -0.5 * np.log(2 * np.pi * np.e)  # E log N(x | 0, 1)
    surface = vae.elbo_surface(t, t[:, None], 1.0) - log_p
    fig, ((left, right),) = plots.figure(1, 2, 4.4)
    left.set(xscale="log", yscale="log")
    blues = colormaps["Blues"](np.linspace(0.0, 0.6, len(LEVELS) + 1))
    left.contourf(t, t, surface, (-1e3, *LEVELS, 0), colors=blues)
    look = {"colors": "0.3", "linewidths": 0.8, "linestyles": "-"}
    lines = left.contour(t, t, surface, LEVELS, **look)
    left.clabel(lines, fmt="%g", fontsize=8)
    left.plot(
        t, t, "--", color=plots.LEARNED, lw=1.5, label=r"ridge $s = \sigma t$: $-t^2/2$"
    )
    left.plot(1, 1, "o", color="black", label="stated optimum: -1/2 nat")
    arrow = {"arrowstyle": "-|>", "color": plots.LEARNED, "lw": 2}
    left.annotate("", (0.11, 0.11), (0.93, 0.93), arrowprops=arrow)
    left.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    left.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    left.minorticks_off()
    left.set(xlabel="encoder's deviation t", ylabel="decoder's deviation s")
    left.set_title("Bound less E log p(x), nats a dimension", fontsize=10)
    left.legend(fontsize=8, loc="lower right", framealpha=0.9)
    p = {}
    for s, color in ((1.0, "black"), (0.5, plots.DATA), (0.1, plots.EXACT)):
        decoder = vae.Decoder(np.eye(1), np.zeros(1), np.array([[s**2]]))
        p[s] = np.exp(vae.log_likelihood(x[:, None], decoder))
        right.plot(x, p[s], color=color, lw=1.5, label=f"t = s = {s:g}")
    ideal = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    right.plot(x, ideal, "--", color=plots.LEARNED, lw=1.5, label="data, N(0, 1)")
    right.set(xlabel="x", ylabel="density", ylim=(0, 0.43))
    right.set_title(r"What the model generates, $\sigma$ = 1", fontsize=10)
    right.legend(fontsize=8, frameon=False)
    plots.save(fig, out)
    return t, surface, x, p


if __name__ == "__main__":
    main()
