"""Where a learned score errs: a small network on two moons, by denoising matching.

Look at the dark band in the middle panel, where the error is least: it is the data's.
The loss is an expectation over the noised data and says nothing of where they are not;
there the error is twenty times as large and more (right), and there a sampler that
begins in white noise must find its way. The tutorial has no such figure; sigma = 0.15, in the data's standard
units, two layers of 64, 2000 steps of 256 points are chosen. About 6 seconds.
"""

from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm

from refdiff import matching, net, plots, toys, train

HERE = Path(__file__).parent


def main(out=HERE / "fig_3_11_score_error.png", seed=0, steps=2000, m=100):
    """Draw the figure; return the density and the norm of the error, both (m, m)."""
    law, sigma, box = toys.moons(), 0.15, 3.0
    mlp, rng = net.MLP(2, 1.0, (64, 64), 1), np.random.default_rng(seed)

    def loss_grad(params, rng):
        x0, z = law.sample(256, rng), rng.standard_normal((256, 2))
        return matching.dsm_loss(params, mlp, x0, z, sigma)

    rate = train.cosine_decay(1e-2, steps)
    states = train.fit(loss_grad, train.start(mlp.init(rng), rng), lr=rate)
    *_, state = islice(states, steps)
    side = np.linspace(-box, box, m)
    x = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    noisy, learned = law.noised(1.0, sigma), mlp.predict(state.params, x, 0.0)
    p, error = np.exp(noisy.logpdf(x)), np.hypot(*(learned - noisy.score(x)).T)
    fig, (axes,) = plots.figure(1, 3, 3.6)
    view = {"extent": (-box, box, -box, box), "origin": "lower"}
    look = {"cmap": "Greys", "norm": LogNorm(1e-6, 1)}, {"norm": LogNorm(0.1, 100)}
    names = "density of the noised data", "norm of the score's error"
    for ax, value, name, how in zip(axes, (p, error), names, look, strict=False):
        image = ax.imshow(value.reshape(m, m), **view, **how)
        fig.colorbar(image, ax=ax, shrink=0.75, extend="both")
        ax.contour(side, side, p.reshape(m, m), [1e-2], colors=plots.LEARNED)
        ax.set_title(name, fontsize=10)
        plots.plane(ax, box)
    axes[2].loglog(p, error, ".", ms=2, color=plots.DATA, alpha=0.4)
    axes[2].axvline(1e-2, color=plots.LEARNED, label="density 0.01")
    axes[2].set(xlabel="density", ylabel="norm of the error", xlim=(1e-12, 2))
    axes[2].set_title("each point of the plane", fontsize=10)
    axes[2].legend(fontsize=8, frameon=False, loc="lower left")
    fig.suptitle(f"moons noised by sigma = {sigma}, {steps} steps", fontsize=10)
    plots.save(fig, out)
    return p.reshape(m, m), error.reshape(m, m)


if __name__ == "__main__":
    main()
