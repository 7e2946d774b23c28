"""A score in the plane: the field of a mixture of two Gaussians, and two paths in it.

Look at the arrows (lengths drawn as roots): they point up the density, not at the
mean of a component: near the tilted one they come in along its short axis first. Two
paths of Langevin's equation that begin on either side of the line where the field parts
end in different modes. The tutorial gives no numbers; weights 0.5, the
means and covariances below, tau = 0.01, 200 steps and the starts are chosen. 1 second.
"""

from pathlib import Path

import numpy as np

from refdiff import langevin, plots
from refdiff.mixture import Mixture

HERE = Path(__file__).parent
MEANS = np.array([[-1.4, -1.1], [1.4, 1.0]])
COVS = np.array([[[0.5, 0.3], [0.3, 0.4]], [[0.3, 0.0], [0.0, 0.3]]])
STARTS = np.array([[-2.4, 1.4], [-0.3, 2.5]])


def main(out=HERE / "fig_3_06_score_field.png", seed=0, T=200, tau=0.01):
    """Draw the figure; return the mixture and the paths (T+1, 2, 2)."""
    law, box = Mixture(np.array([0.5, 0.5]), MEANS, COVS), 3.0
    rng = np.random.default_rng(seed)
    states = langevin.langevin_chain(tau, T).run(STARTS, law.model, rng=rng)
    paths = np.array(list(states))
    side = np.linspace(-box, box, 121)
    plane = np.stack(np.meshgrid(side, side), axis=-1)
    density = np.exp(law.logpdf(plane))
    fig, (axes,) = plots.figure(1, 2, 4.2)
    title = "score over the density, arrows as roots"
    plots.field(axes[0], law.score, law, box, title, plots.EXACT)
    levels = density.max() * np.array([0.02, 0.1, 0.3, 0.6, 0.9])
    for ax in axes:
        ax.contour(side, side, density, levels, colors="0.45", linewidths=0.8)
    for path, color in zip(
        paths.transpose(1, 2, 0), ("#d1495b", "#31688e"), strict=True
    ):
        axes[1].plot(*path, lw=0.7, color=color)
        axes[1].plot(*path[:, 0], "s", ms=7, color=color, mec="black")
        axes[1].plot(*path[:, -1], "o", ms=8, color=color, mec="black")
    axes[1].plot([], [], "s", color="white", mec="black", label="start")
    axes[1].plot([], [], "o", color="white", mec="black", label="end")
    axes[1].legend(fontsize=8, frameon=False, loc="lower right")
    axes[1].set_title(f"two Langevin paths, tau = {tau}, {T} steps", fontsize=10)
    plots.plane(axes[1], box)
    plots.save(fig, out)
    return law, paths


if __name__ == "__main__":
    main()
