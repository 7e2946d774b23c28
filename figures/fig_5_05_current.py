"""Probability current in the plane: one density, at rest and turning.

Look at the two clouds, which are the same: a drift that turns along the lines of equal
density moves nothing that one could see, so p alone cannot tell them apart. The current
can. Left the drift is a gradient, and the current is 0 to rounding (Thm 5.10); right it
is not, and omega / (2 pi) of the probability crosses a half line in a unit of time. At
equilibrium only the current's divergence must vanish. No figure of the tutorial; chosen:
p = exp(-4 (r - 1.6)^2) around a ring, omega = 1, D2 = 1, 80 x 80 cells. 3 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import fokker_planck, plots

HERE = Path(__file__).parent


def log_ring(x):
    """Log density of the ring, a constant aside; x (n, 2)  ->  (n,)."""
    return -4 * (np.hypot(*x.T) - 1.6) ** 2


def main(out=HERE / "fig_5_05_current.png", seed=0, m=80, turn=1.0, box=3.2):
    """Draw the figure; return centres (m, m, 2), {omega: (p (m, m), S (m, m, 2))}."""
    grid = fokker_planck.Grid((m, m), (-box, -box), (box, box))
    start, dx, found = grid.probabilities(log_ring), grid.dx[0], {}
    fig, axes = plots.figure(1, 2, 4.4)
    for ax, omega in zip(axes[0], (0.0, turn), strict=True):

        def drift(x, axis, omega=omega):
            half = np.eye(2)[axis] * dx / 2  # differences: their rest is exact
            slope = (log_ring(x + half) - log_ring(x - half)) / dx
            return slope + omega * (-x[:, 1], x[:, 0])[axis]

        W = fokker_planck.operator(grid, drift, 1.0)
        *_, p = fokker_planck.evolve(start, W, np.array([0.0, 1e3, 2e3]))
        S = np.empty((m, m, 2))  # at the centres: the mean of a cell's two faces
        for axis, flow in enumerate(fokker_planck.current(p, W, grid)):
            faces = flow.reshape(m - (axis == 0), m - (axis == 1))
            walls = np.pad(faces, [(int(axis == i),) * 2 for i in (0, 1)])
            upper, lower = np.delete(walls, 0, axis), np.delete(walls, -1, axis)
            S[..., axis] = (upper + lower) / 2 / dx
        found[omega] = p, S
        extent = -box, box, -box, box
        ax.imshow(p.T, "Blues", extent=extent, origin="lower", vmax=1.2 * p.max())
        few = (slice(2, None, 4),) * 2
        arrows = *np.moveaxis(grid.centres[few], -1, 0), *np.moveaxis(S[few], -1, 0)
        ax.quiver(*arrows, color=plots.LEARNED, scale=2, width=0.004, minlength=0)
        crossing = abs(S[m // 2 :, m // 2, 1].sum()) * dx
        text = f"{crossing:.3f} crosses a half line, most |S| {abs(S).max():.0e}"
        ax.set_title(f"omega = {omega:g}: {text}", fontsize=10)
        plots.plane(ax, box)
    plots.save(fig, out)
    return grid.centres, found


if __name__ == "__main__":
    main()
