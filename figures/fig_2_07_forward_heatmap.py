"""The forward process as a landscape: p_t(x) over time, and eight particles in it.

Look at the paths: each is a noisy walk of its own, and yet the crowd has the exact
density behind it at every t. The tutorial's numbers are 0.3 N(-2, 0.2^2) + 0.7 N(2, 1)
and alpha = 0.97; T = 200 and eight paths are chosen here. Under 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import forward, plots, schedule, toys

HERE = Path(__file__).parent


def main(out=HERE / "fig_2_07_forward_heatmap.png", seed=0, n=8, T=200):
    """Draw the figure; return grid (m,), density (T+1, m) and paths (T+1, n)."""
    law, rng = toys.example_2_1(), np.random.default_rng(seed)
    sched = schedule.constant(T, 0.97)
    grid = np.linspace(-5, 6, 441)
    levels = zip(sched.signal, sched.noise, strict=True)
    log_p = [law.noised(*level).logpdf(grid[:, None]) for level in levels]
    density = np.exp(log_p)
    chain = forward.q_chain(sched)
    paths = np.array(list(chain.run(law.sample(n, rng), law.model, rng=rng)))[:, :, 0]
    fig, ((ax,),) = plots.figure(1, 1, 6.0)
    fig.set_size_inches(8.5, 4.5)
    extent = (-0.5, T + 0.5, grid[0], grid[-1])
    image = ax.imshow(
        density.T, extent=extent, origin="lower", aspect="auto", cmap="Blues", vmax=0.45
    )
    fig.colorbar(image, label="density $p_t(x)$", pad=0.02, extend="max")
    for path in paths[:, :8].T:
        ax.plot(path, lw=2, color="white", alpha=0.6)  # an outline, to be seen on blue
        ax.plot(path, lw=0.9, color=plots.LEARNED)
        ax.plot(0, path[0], ".", ms=7, color="black", clip_on=False, zorder=3)
    title = f"Ex 2.1 forwards: alpha = 0.97, T = {T}; {min(n, 8)} paths of $q$"
    ax.set_title(title, fontsize=10)
    ax.set(xlabel="t", ylabel="x")
    plots.save(fig, out)
    return grid, density, paths


if __name__ == "__main__":
    main()
