"""Explicit, implicit and denoising score matching along one line of parameters.

Left: DSM lies above ESM and ISM below it by the same at every s (Thm 3.4, (3.9)), so
that all have one minimum; each is a quadrature of its own. Right: the ESM of the clean
law has another. The line: networks fitted to the smoothed (s = 0) and clean law (1).
All chosen: 0.5 N(-1, 0.6^2) + 0.5 N(1, 0.6^2), sigma = 0.5, one layer of 8. 5 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import matching, net, plots, toys, train

HERE = Path(__file__).parent
SIGMA, MLP, ESM = 0.5, net.MLP(1, 1.0, (8,), 1), matching.esm_loss
COLORS = plots.LEARNED, plots.EXACT, plots.DATA, "black"


def _nodes(law, n=161):
    z = np.linspace(-9, 9, n)
    w, x = np.exp(-(z**2) / 2), law.means + np.sqrt(law.covs[:, 0]) * z
    return x.reshape(-1, 1), np.outer(law.weights, w / w.sum()).ravel()


def main(out=HERE / "fig_3_12_dsm_esm.png", seed=0, steps=1500, s=(-0.75, 1.35, 85)):
    """Draw the figure; return s and {name: values}: DSM, ESM, ISM and clean ESM."""
    clean, s = toys.blobs([0.5, 0.5], [[-1.0], [1.0]], 0.6), np.linspace(*s)
    smooth, white = clean.noised(1.0, SIGMA), toys.blobs([1.0], [[0.0]], 1.0)
    ends = [MLP.init(np.random.default_rng(seed))]
    for law in (smooth, clean):
        (x, w), p, m, v = _nodes(law), ends[-1], 0.0, 0.0
        for step in range(1, steps + 1):
            grad = ESM(p, MLP, x, law.score(x), w=w)[1]
            p, m, v = train.adam_step(p, grad, m, v, step, 5e-3)
        ends.append(p)
    line = ends[1] + s[:, None] * (ends[2] - ends[1])
    (x0, w0), (x, w), (z, wz) = _nodes(clean), _nodes(smooth, 1001), _nodes(white)
    pairs, w2 = (np.repeat(x0, 161, 0), np.tile(z, (322, 1))), np.outer(w0, wz).ravel()
    loss = {
        "DSM": [matching.dsm_loss(p, MLP, *pairs, SIGMA, w=w2)[0] for p in line],
        "ESM": [ESM(p, MLP, x, smooth.score(x), w=w)[0] for p in line],
        "ISM": [matching.ism_loss(p, MLP, x, w=w)[0] for p in line],
        "clean ESM": [ESM(p, MLP, x0, clean.score(x0), w=w0)[0] for p in line],
    }
    fig, (axes,) = plots.figure(1, 2, 4.2)
    for i, (name, y) in enumerate(loss.items()):
        ax, color = axes[i // 3], COLORS[i]
        gap, k = np.subtract(y, loss["ESM"]), np.argmin(y)
        note = f" = ESM {gap[0]:+.4f}, to {np.ptp(gap):.0e}" * (name in ("DSM", "ISM"))
        text = f"{name}{note}, least at s = {s[k]:.1f}"
        ax.plot(s, y, "o-", markevery=[k], color=color, label=text)
        ax.set(xlabel="s, smoothed (0) to clean (1)", ylabel="loss", ylim=(-0.6, 2.7))
        ax.legend(fontsize=8, frameon=False, loc="upper center")
    plots.save(fig, out)
    return s, {name: np.array(y) for name, y in loss.items()}


if __name__ == "__main__":
    main()
