"""What Langevin steps of size tau sample where they should sample N(0, 1).

Left: their variance at rest is 1 / (1 - tau/2) exactly, too large by about tau/2, and
has no value from tau = 2 on; Metropolis's rule, applied to the same steps, brings back
variance 1 at every tau, from the same starts. Right: the exact variance after t steps,
which grows for ever at tau = 2 and explodes above. It is no figure of the tutorial;
every number is chosen. About 2 seconds.
"""

from itertools import islice
from pathlib import Path

import numpy as np

from refdiff import langevin, plots, toys

HERE = Path(__file__).parent
TAUS = (0.1, 0.4, 0.7, 1.0, 1.3, 1.6, 1.8, 1.9)


def main(out=HERE / "fig_3_09_langevin_bias.png", seed=0, n=10_000, steps=80):
    """Draw the figure; return {tau: (exact, plain, MALA variance)}, {tau: var (t,)}."""
    law, rng = toys.blobs([1.0], [[0.0]], 1.0), np.random.default_rng(seed)
    table, start = {}, np.zeros((n, 1))
    for tau in TAUS:
        chain = langevin.langevin_chain(tau, steps)
        plain = np.array(list(chain.run(start, law.model, rng=rng)))
        mala = langevin.mala(start, law.logpdf, law.score, tau, rng)
        fair = np.array([x for x, _ in islice(mala, steps)])
        exact = langevin.stationary_cov(np.eye(1), tau)[0, 0]
        table[tau] = exact, plain[-10:].var(), fair[-10:].var()
    grown = {}
    for tau in (0.5, 1.9, 2.0, 2.05):
        chain, zero = langevin.langevin_chain(tau, 100), np.zeros((1, 1))
        grown[tau] = chain.law(zero[0], np.eye(1), zero[0], zero)[1][:, 0, 0]
    fig, (axes,) = plots.figure(1, 2, 4.2)
    fine = np.linspace(0.01, 1.97, 200)
    curve = [langevin.stationary_cov(np.eye(1), tau)[0, 0] for tau in fine]
    axes[0].plot(fine, curve, color=plots.LEARNED, lw=1, label="exact, 1 / (1 - tau/2)")
    _, plain, fair = np.array(list(table.values())).T
    axes[0].plot(TAUS, plain, "o", color=plots.LEARNED, label="Langevin, simulated")
    axes[0].plot(TAUS, fair, "s", color=plots.EXACT, label="Metropolis-adjusted")
    axes[0].axhline(1, color="black", lw=1, ls="--", label="variance of p = N(0, 1)")
    axes[0].axvspan(2, 2.2, color="0.85", label="diverges, tau ≥ 2")
    axes[0].set(xlabel="step size tau", ylabel="variance", yscale="log", xlim=(0, 2.2))
    axes[0].set_title(f"{n:,} paths from 0, steps {steps - 9} to {steps}", fontsize=10)
    for (tau, var), ls in zip(grown.items(), ("-", "--", "-.", ":"), strict=True):
        axes[1].plot(np.arange(1, 101), var[1:], "k", ls=ls, label=f"tau = {tau:g}")
    axes[1].set(xlabel="steps", ylabel="variance", yscale="log", ylim=(0.5, 1e6))
    axes[1].set_title("exact variance after t steps from 0", fontsize=10)
    for ax in axes:
        ax.legend(fontsize=8, frameon=False, loc="upper left")
    plots.save(fig, out)
    return table, grown


if __name__ == "__main__":
    main()
