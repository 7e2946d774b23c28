"""One path in the mixture of Ex 3.2: gradient ascent, and ascent with noise.

Look at where they go: ascent climbs to the mode at 2 and stays there; the noise of
Langevin's equation spreads the path over the whole hump, as the density asks. Look also
at where neither goes: 500 steps do not bring the path to the left hump, which holds 0.4
of the mass. All the numbers are the tutorial's: 0.6 N(2, 0.5^2) + 0.4 N(-2, 0.2^2),
x_0 = 0, tau = 0.05, T = 500; only the seed is chosen. About 1 second.
"""

from pathlib import Path

import numpy as np

from refdiff import langevin, plots, toys

HERE = Path(__file__).parent


def main(out=HERE / "fig_3_02_langevin_path.png", seed=0, T=500, tau=0.05):
    """Draw the figure; return {panel: (path (T+1,), density along it)}."""
    law, start = toys.example_3_2(), np.zeros((1, 1))
    climb = [start]
    for _ in range(T):
        climb.append(langevin.ascent_step(climb[-1], law.score(climb[-1]), tau))
    rng = np.random.default_rng(seed)
    walk = list(langevin.langevin_chain(tau, T).run(start, law.model, rng=rng))
    grid = np.linspace(-3, 4, 701)
    density = np.exp(law.logpdf(grid[:, None]))
    fig, axes = plots.figure(1, 2, 4.0)
    result = {}
    cases = {"gradient ascent": climb, "Langevin": walk}
    for (name, path), ax in zip(cases.items(), axes[0], strict=True):
        path = np.array(path)[:, 0]
        x, p = result[name] = path[:, 0], np.exp(law.logpdf(path))
        ax.fill_between(grid, density, color="0.92")
        ax.plot(grid, density, color="0.5", lw=1, label="density p(x)")
        look = {"c": np.arange(T + 1), "cmap": "viridis", "s": 16, "zorder": 3}
        dots = ax.scatter(x, p, label="p($x_t$)", **look)
        ax.plot(
            x[0], p[0], "s", color=plots.LEARNED, zorder=4, label="start, $x_0$ = 0"
        )
        ax.set_title(f"{name}: mean {x.mean():.2f}, std {x.std():.2f}", fontsize=10)
        ax.set(xlabel="x", ylabel="p(x)", xlim=(-3, 4), ylim=(-0.02, 0.88))
        ax.legend(fontsize=8, frameon=False, loc="upper right")
        ax.label_outer()
    fig.colorbar(dots, ax=axes, label="step t", shrink=0.85)
    fig.suptitle(f"Ex 3.2: one path of {T} steps, tau = {tau}", fontsize=10)
    plots.save(fig, out)
    return result


if __name__ == "__main__":
    main()
