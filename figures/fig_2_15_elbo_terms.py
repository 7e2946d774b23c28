"""Where the bound of a diffusion model loses its nats, with a perfect denoiser.

Look right: the usual schedules keep a gap however many steps they take. Where noise2
grows as t, the ratio SNR[t-1]/SNR[t] of the first steps does not depend on T, and the
sum of (ratio - 1 - log ratio)/2 is half of Euler's constant: sigma_q^2 is too small a
variance there. Where log SNR falls linearly, from 10 to -10, the gap falls as 1/T. No
number is the tutorial's: data N(1.5, 0.25), schedules and T are chosen. A term is
quadratic in x_0: its mean over the data is that over 1.5 +- 0.5. About 7 seconds.
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


def terms(sched):
    """Terms of the bound, each averaged over the data."""
    reverse = elbo.gaussian_reverse(np.array([1.5]), np.array([[0.25]]), sched)
    at_points = elbo.elbo_terms(np.array([[1.0], [2.0]]), reverse, sched)
    return elbo.Terms(*(term.mean(axis=-1) for term in at_points))


def main(out=HERE / "fig_2_15_elbo_terms.png", seed=0, T=(30, 100, 300, 1000, 2000)):
    """Draw the figure; return {schedule: {T: terms}} and E log p(x_0)."""
    table = {name: {N: terms(of(N)) for N in T} for name, of in SCHEDULES.items()}
    fig, ((left, middle, right),) = plots.figure(1, 3, 3.2)
    colors = plots.DATA, plots.LEARNED, plots.EXACT
    for (name, by_T), color in zip(table.items(), colors, strict=True):
        each, look = by_T[T[-2]].consistency, {"color": color, "label": name}
        left.loglog(np.arange(2, len(each)), each[2:], **look)
        right.loglog(T, [E_LOG_P - part.bound for part in by_T.values()], ".-", **look)
    for k, (name, style) in enumerate(zip(elbo.Terms._fields, "^v_", strict=True)):
        part = [p[k].sum() * (-1) ** (k > 0) for p in table["cosine"].values()]
        middle.semilogx(T, part, style + "-", ms=5, label="-" * (k > 0) + name)
    bound = [part.bound for part in table["cosine"].values()]
    middle.plot(T, bound, "k.-", label="bound, their sum")
    middle.axhline(E_LOG_P, color="0.5", ls=":", label="E log p($x_0$)")
    right.axhline(np.euler_gamma / 2, color="0.5", ls=":", label="Euler's constant / 2")
    left.set_title(f"consistency term at t, T = {T[-2]}", fontsize=10)
    middle.set_title("parts of the bound, cosine", fontsize=10)
    right.set_title("E log p($x_0$) - bound", fontsize=10)
    left.set(xlabel="t", ylabel="nats", ylim=(1e-6, 3))
    middle.set(xlabel="T", ylim=(-6, 11))
    right.set(xlabel="T", ylim=(8e-3, 5))
    for ax in (left, middle, right):
        ax.legend(fontsize=8, frameon=False, loc=2 if ax is middle else 3)
    plots.save(fig, out)
    return table, E_LOG_P


if __name__ == "__main__":
    main()
