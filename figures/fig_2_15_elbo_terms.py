"""Where the bound of a diffusion model loses its nats, with a perfect denoiser.

Look right: the usual schedules keep a gap, however many steps they take. Where noise2
grows as t, the ratios SNR[t-1]/SNR[t] of the first steps do not depend on T, and their
sum of (ratio - 1 - log ratio)/2 is half of Euler's constant. With log SNR linear in t,
10 to -10, the gap falls as 1/T. All numbers are chosen here. About 7 seconds.
"""

from pathlib import Path

import numpy as np
from scipy.special import expit

from refdiff import elbo, plots, schedule

HERE = Path(__file__).parent
SCHEDULES = {
    "linear": lambda T: schedule.linear(T, 0.1 / T, 20 / T),
    "cosine": schedule.cosine,
    "log SNR": lambda T: schedule.from_alpha_bar(expit(np.linspace(10, -10, T))),
}
E_LOG_P = -0.5 * np.log(2 * np.pi * np.e * 0.25)


def terms(sched, x0=((1.0,), (2.0,))):
    """Terms of the bound averaged over the data: as quadratics, over 1.5 +- 0.5."""
    reverse = elbo.gaussian_reverse(np.array([1.5]), np.array([[0.25]]), sched)
    return elbo.Terms(*(a.mean(-1) for a in elbo.elbo_terms(x0, reverse, sched)))


def main(out=HERE / "fig_2_15_elbo_terms.png", seed=0, T=(30, 100, 300, 1000, 2000)):
    """Draw the figure; return {schedule: {T: terms}} and E log p(x_0)."""
    table = {name: {N: terms(of(N)) for N in T} for name, of in SCHEDULES.items()}
    cosine = table["cosine"].values()
    fig, ((left, middle, right),) = plots.figure(1, 3, 3.2)
    for (name, by_T), color in zip(table.items(), ("C0", "C3", "C2"), strict=True):
        look = {"color": color, "label": name}
        left.loglog(np.arange(2, T[-2] + 1), by_T[T[-2]].consistency[2:], **look)
        right.loglog(T, [E_LOG_P - p.bound for p in by_T.values()], ".-", **look)
    for k, (name, style) in enumerate(zip(elbo.Terms._fields, "^vs", strict=True)):
        part = [p[k].sum() * (-1) ** (k > 0) for p in cosine]
        look = {"color": "0.3", "ms": 5, "label": "-" * (k > 0) + name}
        middle.semilogx(T, part, f"{style}-", **look)
    middle.plot(T, [p.bound for p in cosine], "k.-", label="bound, their sum")
    middle.axhline(E_LOG_P, color="0.5", ls=":", label="E log p($x_0$)")
    right.axhline(np.euler_gamma / 2, color="0.5", ls=":", label="Euler's constant / 2")
    left.set(title=f"consistency at t, T = {T[-2]}", ylim=(1e-6, 3), ylabel="nats")
    middle.set(title="parts of the bound, cosine", ylim=(-6, 11))
    right.set(title="E log p($x_0$) - bound", ylim=(8e-3, 5))
    for ax, of, place in ((left, "t", 3), (middle, "T", 2), (right, "T", 3)):
        ax.set_xlabel(of)
        ax.title.set_fontsize(10)
        ax.legend(fontsize=8, frameon=False, loc=place)
    fig.suptitle("Data N(1.5, 0.25), exact denoiser, variance sigma_q²", fontsize=10)
    plots.save(fig, out)
    return table, E_LOG_P


if __name__ == "__main__":
    main()
