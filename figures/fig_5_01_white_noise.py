"""White noise: a realisation, its autocorrelation, and its spectrum, for two bin widths.

Look how the noise grows as its bins get finer, by sqrt(5) from blue to red: its variance
is q / dt. What stays is the area under R, which is q, and the level of the spectrum, the
same q up to pi / dt, where the bins end. N(0, 1) at every time, as the text has it, is
the dashed foil: its spectrum is dt, and sinks to nothing. The tutorial gives no numbers;
chosen: q = 1, dt = 0.1 and 0.02, 400 realisations of 500 bins. Under a second.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from refdiff import brownian, plots

HERE = Path(__file__).parent


def main(out=HERE / "fig_5_01_white_noise.png", seed=0, q=1.0, N=500, n=400):
    """Draw the figure; return {dt: (x (N, n), R (9,), omega, S)}, R and S the means."""
    rng, found = np.random.default_rng(seed), {}
    fig = Figure((11, 3.6), layout="constrained")
    middle, left, right = fig.subplots(1, 3)
    for dt, color in ((0.02, plots.LEARNED), (0.1, plots.DATA)):
        x = brownian.white_noise((N, n), dt, q, rng)
        R = brownian.autocorrelation(x, 8).mean(axis=1)
        omega, S = brownian.spectrum(x, dt)
        found[dt] = x, R, omega[1:], S[1:].mean(axis=1)
        name, m = f"dt = {dt:g}", round(4 / dt)
        t, lag = np.arange(m) * dt, np.arange(-8, 9) * dt
        left.step(t, x[:m, 0], where="post", lw=0.8, color=color, label=name)
        both = np.concatenate([R[:0:-1], R])
        middle.bar(
            lag, both, dt, color=color, alpha=0.6, label=f"{name}: R(0) = {R[0]:.1f}"
        )
        right.plot(*found[dt][2:], lw=0.8, color=color, label=name)
        foil = "N(0, 1) at every t: S = dt" if dt == 0.02 else None
        end = np.pi / dt
        right.plot([0, end], [dt, dt], "--", lw=1.2, color=color, label=foil)
        right.axvline(end, lw=0.8, ls=":", color=color)
    left.set(xlabel="t", ylabel=r"$\Gamma(t)$, averaged over bins", xlim=(0, 4))
    left.set_title("(b) one realisation: N(0, q / dt) a bin", fontsize=10)
    middle.set(xlabel=r"lag $\tau$", ylabel=r"$R(\tau)$", xlim=(-0.4, 0.4))
    middle.set_title("(a) autocorrelation: the area is q = 1", fontsize=10)
    right.set(xlabel=r"$\omega$", ylabel=r"$S(\omega)$", ylim=(0, 1.6 * q))
    right.set_title(f"mean periodogram of {n}: flat, to pi / dt", fontsize=10)
    for ax in (left, middle, right):
        ax.legend(fontsize=8, frameon=False, loc="upper right")
    plots.save(fig, out)
    return found


if __name__ == "__main__":
    main()
