"""The recursion x_i = (1 - beta dt/2) x_{i-1}, and the curve that it is said to be.

Left, the dots lie almost on exp(-beta t/2), but not on it: they are Euler's steps.
Right, the gap at t = 1 shrinks as dt and no faster (slope 1); at the tutorial's dt =
0.1 it is 0.0078. The tutorial gives dt; beta = 1, x_0 = 1 are chosen. 1 second.
"""

from pathlib import Path

import numpy as np

from refdiff import ode, plots

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_01_recursion.png", seed=0, beta=1.0, N=10):
    """Draw the figure; return times (5N+1,), dots (5N+1,), {dt: error at t = 1}."""
    problem, start = ode.example_4_1(beta), np.array([1.0])
    t = np.linspace(0, 5, 5 * N + 1)
    dots = np.array(list(ode.flow(problem.f, start, t, ode.EULER)))[:, 0]
    error = {}
    for steps in N * 2 ** np.arange(8):
        *_, end = ode.flow(problem.f, start, np.linspace(0, 1, steps + 1), ode.EULER)
        error[1 / steps] = float(problem.exact(1.0, 1.0) - end[0])
    dt, gap = np.array(list(error.items())).T
    fig, (axes,) = plots.figure(1, 2, 4.2)
    fine = np.linspace(0, 5, 300)
    curve = problem.exact(1.0, fine)
    axes[0].plot(fine, curve, color=plots.DATA, lw=1.5, label="exp(-beta t / 2)")
    name = f"recursion, dt = {1 / N:g}"
    axes[0].plot(t, dots, ".", ms=5, color=plots.LEARNED, label=name)
    axes[0].set(xlabel="t", ylabel="x", ylim=(0, 1.05))
    text = f"at t = 1: {dots[N]:.6f} (dots), {problem.exact(1.0, 1.0):.6f} (curve)"
    axes[0].set_title(f"Ex 4.1, beta = {beta:g}; {text}", fontsize=9)
    axes[1].loglog(dt, gap, "o", color=plots.LEARNED, label="measured")
    line = gap[-1] * dt / dt[-1]
    axes[1].loglog(dt, line, "k--", lw=1, label="slope 1, through the last")
    slope = np.polyfit(np.log(dt), np.log(gap), 1)[0]
    axes[1].set_title(f"the error at t = 1: fitted slope {slope:.3f}", fontsize=9)
    axes[1].set(xlabel="dt", ylabel="error")
    for ax in axes:
        ax.legend(fontsize=9, frameon=False)
    plots.save(fig, out)
    return t, dots, error


if __name__ == "__main__":
    main()
