"""Ornstein-Uhlenbeck by the tutorial's unit steps, and by steps of 0.05.

Look at the dots of the unit steps: they halve where the equation decays by exp(-1/2),
and so fall too fast, and at rest their variance is 0.0133 for ever, where the equation
has 0.01. Short steps, whose noise has the root of dt, repair both. The tutorial's
numbers are alpha = 1, beta = 0.1, dt = 1; x_0 = 0.5 and 20 units of time are chosen.
Under a second.
"""

from pathlib import Path

import numpy as np

from refdiff import plots, sde, solvers

HERE = Path(__file__).parent


def main(out=HERE / "fig_4_03_ornstein_uhlenbeck.png", seed=0, n=6, T=20, x_0=0.5):
    """Draw it; return {dt: (t (N+1,), paths (N+1, n), variance)}, exact variance."""
    law, rng = sde.ou(1.0, 0.1, float(T)), np.random.default_rng(seed)
    process = solvers.Process(law.f, lambda x, t: law.g(t))
    fine, zero = np.linspace(0, T, 401), np.zeros((1, 1))
    signal, noise = law.marginal(fine)
    fig, (axes,) = plots.figure(1, 3, 3.6)
    result, color = {}, {1.0: plots.LEARNED, 0.05: plots.EXACT}
    for dt, ax in zip((1.0, 0.05), axes[:2], strict=True):
        t = np.linspace(0, T, round(T / dt) + 1)
        chain = solvers.chain(solvers.euler_maruyama_step, lambda model: process, t)
        x = list(chain.run(np.full((n, 1), x_0), lambda x, level: x, rng=rng))
        var = chain.law(zero[0], np.eye(1), np.array([x_0]), zero)[1][:, 0, 0]
        result[dt] = t, np.array(x)[:, :, 0], var
        for sign in (-2, 2):
            edge = signal * x_0 + sign * noise
            name = "exact mean ± 2 sd" if sign == 2 else None
            ax.plot(fine, edge, color=plots.DATA, lw=1.4, label=name)
        few, mark = result[dt][1][:, :6], "." if dt == 1 else ""
        ax.plot(t, few, lw=0.7, color=color[dt], marker=mark)
        ax.plot(0, x_0, "o", ms=6, color="red", zorder=3, clip_on=False)
        ax.set_title(f"{min(n, 6)} paths of the recursion, dt = {dt:g}", fontsize=10)
        ax.set(xlabel="t", ylabel="x", xlim=(0, T), ylim=(-0.4, 0.7))
        ax.legend(fontsize=9, frameon=False)
        name = f"dt = {dt:g}: {var[-1]:.6f} at rest"
        axes[2].plot(
            t, var, "o-" if dt == 1 else "-", ms=4, color=color[dt], label=name
        )
    rest = f"the SDE: {noise[-1] ** 2:.6f} at rest"
    axes[2].plot(fine, noise**2, "--", color=plots.DATA, label=rest)
    axes[2].set(xlabel="t", ylabel="variance of x", xlim=(0, 8), ylim=(0, 0.017))
    axes[2].set_title("exact variances, from a fixed start", fontsize=10)
    axes[2].legend(fontsize=9, frameon=False, loc="lower right")
    fig.suptitle("Ex 4.4: dx = -x/2 dt + 0.1 dw", fontsize=10)
    plots.save(fig, out)
    return result, noise**2


if __name__ == "__main__":
    main()
