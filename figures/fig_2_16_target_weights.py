"""One weighting, four disguises: what each target's squared error is multiplied by.

Look along a colour: its four curves are one and the same loss. "SNR" is the constant 1
for eps, the simple loss of the second training box, and asks next to nothing of x_0 at
high noise. The bound's own weight is for eps a bowl: it cares for the first few t and
the last. (2.44) and the simple losses are the tutorial's; the other weights, and the
cosine schedule with T = 1000, are chosen here. Cut at 1e-6 and 1e6. Under 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import losses, plots, schedule, targets

HERE = Path(__file__).parent
WEIGHTINGS = {
    "SNR": (losses.weight_snr, {"color": plots.DATA, "lw": 5, "alpha": 0.35}),
    "max(SNR, 1)": (losses.weight_truncated_snr, {"color": plots.LEARNED, "ls": "--"}),
    "min(SNR, 5)": (losses.weighting_min_snr(5.0), {"color": plots.EXACT}),
    "bound, (2.44)": (losses.weight_elbo, {"color": "black"}),
}
TARGETS = {
    "$x_0$": targets.X0,
    "eps": targets.EPS,
    "v": targets.V,
    "score": targets.SCORE,
}


def main(out=HERE / "fig_2_16_target_weights.png", seed=0, T=1000):
    """Draw the figure; return t from 2 (T-1,) and {(target, weighting): weight (T-1,)}."""
    sched, t = schedule.cosine(T), np.arange(2, T + 1)
    fig, axes = plots.figure(2, 2, 3.6)
    weights = {}
    for (symbol, target), ax in zip(TARGETS.items(), axes.flat, strict=True):
        for name, (weighting, look) in WEIGHTINGS.items():
            weight = losses.target_weight(target, weighting, t, sched)[:, 0]
            weights[target.name, name] = weight
            ax.semilogy(t, weight, label=name, **{"lw": 1.5, **look})
        ax.set_title(f"Weight of the squared error of {symbol}", fontsize=10)
        ax.set(ylim=(1e-6, 1e6), xlabel="t", ylabel="weight")
        ax.label_outer()
    axes[0, 0].legend(fontsize=8, frameon=False, loc="lower left")
    fig.suptitle(
        f"Cosine schedule, T = {T}; t from 2 (at t = 1 the bound's weight is infinite)",
        fontsize=10,
    )
    plots.save(fig, out)
    return t, weights


if __name__ == "__main__":
    main()
