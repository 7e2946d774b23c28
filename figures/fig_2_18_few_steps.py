"""How many steps a perfect denoiser needs: deterministic and ancestral sampling.

Look at the slopes: both samplers gain one order in 1/N, and the deterministic one needs
about half as many steps. With few steps both are far too narrow, score or no score.
The first two panels are the exact law on N(1.5, 0.25) data; the third is 50,000 samples
of Ex 2.1, the tutorial's mixture, down to the median D that fair samples have. Data,
linear(1000) with trailing respacing, and N are chosen here. About 12 seconds.
"""

from pathlib import Path

import numpy as np
from scipy import stats

from refdiff import ddim, plots, schedule, toys

HERE = Path(__file__).parent
STEPS = (2, 3, 5, 8, 12, 20, 35, 60, 100, 200)
CASES = (0.0, "DDIM, eta = 0"), (1.0, "ancestral, eta = 1")


def main(out=HERE / "fig_2_18_few_steps.png", seed=0, n=50_000, steps=STEPS):
    """Draw it; return {eta: variances}, {eta: D}, both for N in steps, and D's floor."""
    law, rng = toys.example_2_1(), np.random.default_rng(seed)
    std, floor = np.sqrt(law.covs[:, 0, 0]), stats.kstwo.median(n)

    def cdf(x):
        return stats.norm.cdf((x[:, None] - law.means[:, 0]) / std) @ law.weights

    fig, ((left, middle, right),) = plots.figure(1, 3, 3.2)
    var, D = {}, {}
    for (eta, name), color in zip(CASES, (plots.EXACT, plots.LEARNED), strict=True):
        times = [schedule.trailing(1000, N) for N in steps]
        chains = [ddim.ddim_chain(schedule.linear(1000).respace(t), eta) for t in times]
        laws = [chain.law(np.array([1.5]), np.array([[0.25]])) for chain in chains]
        var[eta] = np.array([covs[-1, 0, 0] for _, covs in laws])
        starts = rng.standard_normal((n, 1))
        ends = [list(c.run(starts, law.model, rng=rng))[-1] for c in chains]
        D[eta] = np.array([stats.kstest(x[:, 0], cdf).statistic for x in ends])
        look = {"color": color, "lw": 1.2, "label": name}
        left.semilogx(steps, var[eta], ".-", **look)
        middle.loglog(steps, 1 - var[eta] / 0.25, ".-", **look)
        right.loglog(steps, D[eta], ".-", **look)
    left.axhline(0.25, color="black", lw=1, label="data, 0.25")
    middle.loglog(steps, 2 / np.array(steps), ":", color="0.5", label="slope of 1/N")
    right.axhline(floor, color="0.5", ls=":", label=f"fair samples, {floor:.4f}")
    left.set(title="Data N(1.5, 0.25)", ylabel="variance of x", ylim=(0, 0.34))
    middle.set(title="Data N(1.5, 0.25)", ylabel="1 - variance / 0.25")
    right.set(title=f"Data Ex 2.1, {n:,} samples", ylabel="Kolmogorov distance D")
    for ax in (left, middle, right):
        ax.set_xlabel("number of steps N")
        ax.title.set_fontsize(10)
        ax.legend(fontsize=8, frameon=False)
    fig.get_layout_engine().set(wspace=0.04)
    plots.save(fig, out)
    return var, D, floor


if __name__ == "__main__":
    main()
