"""The density under Langevin's equation from N(0, 1) to the mixture of Ex 3.2, a film.

Look at the last two pictures: nothing moves any more, and yet it is not the mixture. The
ridge between the modes is at -0.82, and what left it has stayed on its side: 0.22 is on
the left where 0.40 belongs. To mend that takes 560,000 units of time (figure 5.8).
Lines are the Fokker-Planck equation on a grid, bars 10,000 particles in steps of 0.002,
which know nothing of it. The GIF is of 40 times, most early. No figure of the tutorial;
the mixture is Ex 3.2's, the rest is chosen. About 12 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import fokker_planck, langevin, plots, toys

HERE = Path(__file__).parent
STRIP = (0, 10, 25, 50, 100, 200, 500, 1000)  # steps


def main(out=HERE / "fig_5_04_langevin.png", seed=0, n=10_000, tau=0.002, frames=40):
    """Draw strip and GIF; return x (350,), {step: (density, particles (n,))}."""
    law, rng = toys.example_3_2(), np.random.default_rng(seed)
    grid = fokker_planck.Grid((350,), (-3.5,), (4.5,))
    x, dx, N = grid.centres[:, 0], grid.dx[0], STRIP[-1]
    W = fokker_planck.potential_operator(grid, law.logpdf, 1.0)
    start = grid.probabilities(lambda x: -(x[:, 0] ** 2) / 2)
    flow = fokker_planck.evolve(start, W, np.arange(N + 1) * tau)
    chain = langevin.langevin_chain(tau, N)
    cloud = chain.run(rng.standard_normal((n, 1)), law.model, rng=rng)
    steps = {*STRIP, *np.geomspace(1, N, frames).round().astype(int).tolist()}
    both = enumerate(zip(flow, cloud, strict=True))
    film = {k: (p / dx, y[:, 0]) for k, (p, y) in both if k in steps}

    def draw(ax, k):
        p, y = film[k]
        ax.clear()
        plots.cloud(ax, y[:, None], "", plots.DATA, 4.5, law)
        ax.plot(x, p, color=plots.LEARNED, lw=1.2)
        left = p[x < -0.82].sum() * dx
        ax.set_title(f"t = {k * tau:.3g}: {left:.2f} on the left", fontsize=10)
        ax.set(xlim=(-3.5, 4.5), ylim=(0, 0.85), ylabel="density")

    fig, axes = plots.figure(2, 4, 2.6)
    for ax, k in zip(axes.flat, STRIP, strict=True):
        draw(ax, k)
        ax.label_outer()
    lines = [*axes[0, 0].lines, axes[0, 0].patches[0]]
    names = ["Ex 3.2, 0.40 on the left", "Fokker-Planck equation", f"{n:,} particles"]
    fig.legend(lines, names, loc="outside lower center", ncols=3, frameon=False)
    plots.save(fig, out)
    small, ((ax,),) = plots.figure(1, 1, 4.0)
    frames = [lambda k=k: draw(ax, k) for k in film]
    plots.save_gif(small, Path(out).with_suffix(".gif"), frames)
    return x, film


if __name__ == "__main__":
    main()
