"""Data turned into noise: the density p_t of the Ex 2.1 mixture at eight times.

Look at the divergence KL(p_t || N(0, 1)) in the titles: by t = 50 the two modes are one
and 0.16 nats are left, by t = 200 less than a thousandth. The tutorial's numbers are
0.3 N(-2, 0.2^2) + 0.7 N(2, 1) and alpha = 0.97 at every step; the eight times are
chosen here. KL is by the trapezoid rule on the grid drawn. Under 2 seconds.
"""

from pathlib import Path

import numpy as np
from scipy import integrate, stats

from refdiff import plots, schedule, toys

HERE = Path(__file__).parent
TIMES = (0, 5, 10, 20, 35, 50, 100, 200)


def main(out=HERE / "fig_2_05_forward_densities.png", seed=0, times=TIMES):
    """Draw the figure; return the grid (m,), densities and divergences by time."""
    law, sched = toys.example_2_1(), schedule.constant(max(times), 0.97)
    grid = np.linspace(-9, 9, 3601)
    log_noise = stats.norm.logpdf(grid)
    fig, axes = plots.figure(2, 4, 2.3)
    density, kl = {}, {}
    for t, ax in zip(times, axes.flat, strict=False):
        log_p = law.noised(sched.signal[t], sched.noise[t]).logpdf(grid[:, None])
        density[t] = np.exp(log_p)
        kl[t] = integrate.trapezoid(density[t] * (log_p - log_noise), grid)
        ax.fill_between(grid, density[t], color=plots.DATA, alpha=0.25, lw=0)
        ax.plot(grid, density[t], color=plots.DATA, lw=1.5, label="$p_t$")
        ax.plot(grid, np.exp(log_noise), "k--", lw=1, label="N(0, 1)")
        ax.set_title(f"t = {t}\nKL = {kl[t]:#.3g} nats", fontsize=10)
        ax.set(xlim=(-5, 6), ylim=(0, 0.65), xticks=(-4, 0, 4))
        ax.label_outer()
    axes[0, 0].legend(fontsize=8, frameon=False, loc="upper right", handlelength=1.3)
    for ax in axes[:, 0]:
        ax.set_ylabel("density")
    for ax in axes[-1]:
        ax.set_xlabel("x")
    text = "0.3 N(-2, 0.2²) + 0.7 N(2, 1) forwards, alpha = 0.97; KL to N(0, 1)"
    fig.suptitle(text, fontsize=10)
    plots.save(fig, out)
    return grid, density, kl


if __name__ == "__main__":
    main()
