"""Noise on a falling grid, x_{i-1} = x_i + a z, and what a reversal needs besides.

Left, the tutorial's dx = a dw-bar from x_N, red: it is Ex 4.3 over again, with time
counted down, and spreads towards t = 0. Right, the reverse of Ex 4.3 has a score, from
the law N(0, a^2 N) that Ex 4.3 ends in: its band closes, and all paths return to x_0 =
0, to the a of the last step's noise. The tutorial's number is a = 0.05; x_N = 0, N =
200 and the paths are chosen here. Under a second.
"""

from pathlib import Path

import numpy as np

from refdiff import mixture, plots, reversal, sde, solvers

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_04_backward_noise.png", seed=0, n=2000, N=200, a=0.05):
    """Draw it; return t (N+1,) falling, paths without and with a score (N+1, n)."""
    law, rng = sde.ou(0.0, a, float(N)), np.random.default_rng(seed)
    t, point = np.arange(N, -1.0, -1.0), mixture.from_points(np.zeros((1, 1)))
    bare = solvers.Process(law.f, lambda x, t: law.g(t))
    cases = {
        "dx = a dw, time falling": (bare, np.zeros((n, 1)), law.marginal(N - t)[1]),
        "dx = -a² score dt + a dw, time falling": (
            reversal.reverse(law, point.model),
            law.marginal(float(N))[1] * rng.standard_normal((n, 1)),
            law.marginal(t)[1],
        ),
    }
    fig, (axes,) = plots.figure(1, 2, 4.3)
    found = []
    for ax, (name, (process, x, sd)) in zip(axes, cases.items(), strict=True):
        z = rng.standard_normal((N, n, 1))
        path = list(solvers.paths(solvers.euler_maruyama_step, process, x, t, z))
        found.append(np.array(path)[:, :, 0])
        ax.fill_between(t, -2 * sd, 2 * sd, color=plots.DATA, alpha=0.12)
        ax.plot(t, 2 * sd, color=plots.DATA, lw=1.2, label="2 standard deviations")
        ax.plot(t, -2 * sd, color=plots.DATA, lw=1.2)
        ax.plot(t, found[-1][:, :8], lw=0.9)
        start = found[-1][0, :8]
        ax.plot(0 * start + N, start, "o", ms=6, color="red", zorder=3, clip_on=False)
        ax.set(xlabel="t, from N down to 0", ylabel="x", xlim=(N, 0), ylim=(-2.3, 2.3))
        ax.set_title(f"{name}; at 0: sd {found[-1][-1].std():.2f}", fontsize=10)
        ax.legend(fontsize=9, frameon=False, loc="upper center")
        ax.label_outer()
    text = f"Ex 4.5, a = {a:g}, N = {N}: 8 paths, starts in red"
    fig.suptitle(f"{text}; the sd at 0 is that of {n:,}", fontsize=10)
    plots.save(fig, out)
    return t, *found


if __name__ == "__main__":
    main()
