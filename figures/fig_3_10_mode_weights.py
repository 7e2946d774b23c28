"""How much of the mass is in the left mode of Ex 3.2, from starts at -3 and at +3.

Look whether the two curves meet, for a sampler must forget its start. Plain Langevin
steps stay where they began. Annealing from sigma = 1 mixes the modes, but comes down
before they are mixed well, and remembers. From sigma = 5, which exceeds their distance,
both come to 0.40, to the sampling error of 0.013. The mixture is the tutorial's; chosen
are 20 levels down to 0.05, of 100 steps each, eps = 0.2 0.05^2 = 0.0005, and 2000 plain
steps of tau = 0.01. About 8 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import langevin, metrics, plots, toys

HERE = Path(__file__).parent
EPS = 0.2 * 0.05**2


def main(out=HERE / "fig_3_10_mode_weights.png", seed=0, n=1500, steps=100, L=20):
    """Draw the figure; return the steps and {case: left weights (2, steps)}."""
    law, rng = toys.example_3_2(), np.random.default_rng(seed)
    cases = {"plain Langevin, tau = 0.01": langevin.langevin_chain(0.01, steps * L)}
    for top in (1.0, 5.0):
        sigma = langevin.ladder(0.05, top, L)
        chain = langevin.annealed_chain(sigma, EPS, steps)
        cases[f"annealed, sigma from {top:g} to 0.05"] = chain
    every = max(1, steps * L // 200)
    fig, (axes,) = plots.figure(1, 3, 3.4)
    t, left = np.arange(0, steps * L + 1, every), {}
    for (name, chain), ax in zip(cases.items(), axes, strict=True):
        start = np.repeat([-3.0, 3.0], n)[:, None]
        weights = []
        for i, x in enumerate(chain.run(start, law.model, rng=rng)):
            if i % every == 0:
                halves = np.split(x, 2)
                weights.append([metrics.mode_weights(x, law)[1] for x in halves])
        left[name] = np.transpose(weights)
        ax.axhline(0.4, color="black", lw=1, ls="--", label="true weight, 0.4")
        for w, x, color in zip(
            left[name], "-+", (plots.LEARNED, plots.DATA), strict=True
        ):
            ax.plot(t, w, color=color, label=f"from {x}3: ends at {w[-1]:.2f}")
        ax.set_title(name, fontsize=10)
        ax.set(xlabel="steps", ylabel="weight of the left mode", ylim=(-0.03, 1.03))
        ax.legend(fontsize=8, frameon=False, loc=(0.3, 0.62))
        ax.label_outer()
    text = f"Ex 3.2, exact score, {n} paths from each start; annealing: {L} levels"
    fig.suptitle(f"{text} of {steps} steps, eps = {EPS:g}", fontsize=10)
    plots.save(fig, out)
    return t, left


if __name__ == "__main__":
    main()
