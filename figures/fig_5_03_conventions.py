"""Chapter 5's three strengths of noise, and the two senses of noise that depends on x.

Left, xi' = g Gamma with delta, q delta and 2 delta for Gamma's correlation: the variance
grows with slopes 1, q and 2 g^2. Right, xi' = sigma xi Gamma with 2 delta: look how one
equation has two means. Stratonovich's, the chapter's own, grows as exp(sigma^2 t), which
stochastic Heun finds by itself, and Euler and Maruyama with the drift g g' of Thm 5.9;
without it they find Ito's, which stays. No figure of the tutorial; chosen: q = 3, g =
sigma = 1/2, 50 steps, 100,000 particles, on the right with the same noise. 2 seconds.
"""

from functools import partial
from pathlib import Path

import numpy as np

from refdiff import brownian, plots, solvers

HERE = Path(__file__).parent
ITO = partial(brownian.ito, lambda x, t: 0 * x)  # no drift of its own
HEUN, EULER = solvers.stochastic_heun_step, solvers.euler_maruyama_step


def main(out=HERE / "fig_5_03_conventions.png", seed=0, n=100_000, q=3.0, s=0.5):
    """Draw the figure; return t, {name: (slope, variances)}, {name: (means, errors)}."""
    t, rng = np.linspace(0, 1, 51), np.random.default_rng(seed)
    strengths = {r"$\delta$": (1.0, 1.0), rf"$q\delta$, q = {q:g}": (q, 1.0)}
    strengths[rf"$2\delta$, g = {s:g}"] = 2.0, s
    plain = ITO(lambda x, t: s * x)  # Ito's, as if g' were 0
    drift = ITO(lambda x, t: s * x, lambda x, t: s)
    kinds = {"stochastic Heun": (HEUN, plain), "Euler-Maruyama": (EULER, drift)}
    kinds["Euler-Maruyama without g g'"] = EULER, plain
    fig, ((left, right),) = plots.figure(1, 2, 4.4)
    variances, means = {}, {}
    for (name, (strength, g)), mark in zip(strengths.items(), "osD", strict=True):
        process = ITO(lambda x, t, g=g: g, q=strength)
        z = rng.standard_normal((50, n))
        x = np.array(list(solvers.paths(EULER, process, np.zeros(n), t, z)))
        slope = strength * g**2
        variances[name] = slope, x.var(axis=1)
        (line,) = left.plot(t, slope * t, label=f"{name}: slope {slope:g}")
        left.plot(t[::5], variances[name][1][::5], mark, ms=4, color=line.get_color())
    for (name, kind), mark in zip(kinds.items(), "oxD", strict=True):
        x = np.array(list(solvers.paths(*kind, np.ones(n), t, z)))
        means[name] = x.mean(axis=1), x.std(axis=1) / np.sqrt(n)
        right.plot(t[::5], means[name][0][::5], mark, ms=7, mfc="none", label=name)
    right.plot(t, np.exp(s**2 * t), "k-", lw=1, label="exp(sigma$^2$ t)", zorder=0)
    right.plot(t, 0 * t + 1, "k--", lw=1, label="1", zorder=0)
    left.set(xlabel="t", ylabel="variance")
    left.set_title("lines: slope t; marks: particles", fontsize=10)
    right.set(xlabel="t", ylabel=r"E $\xi(t)$")
    right.set_title(f"g = sigma x, sigma = {s:g}, from 1", fontsize=10)
    for ax in (left, right):
        ax.legend(fontsize=8, frameon=False, loc="upper left")
    plots.save(fig, out)
    return t, variances, means


if __name__ == "__main__":
    main()
