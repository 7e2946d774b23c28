"""The reverse step (4.17) as the tutorial prints it, with beta/2, beside the right one.

Half the score cannot undo what the noise does. Left, on data N(0, 1), where every p_i
is N(0, 1): the right step keeps variance 1 exactly, the printed one comes to 6.2 in 100
steps. Right, on Ex 4.7: its halves have means +-4 for +-3 and are twice as wide. beta =
0.05 and the mixture are the tutorial's, N = 100 is chosen. About 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import plots, predictors, schedule, toys

HERE = Path(__file__).parent


def printed_step(xt, t, score, z, sched):
    """The foil: (4.17) as printed, the right step with half the score."""
    return predictors.reverse_step(xt, t, score / 2, z, sched)


STEPS = {"right, beta": predictors.reverse_step, "printed, beta/2": printed_step}


def main(out=HERE / "fig_4_09_half_beta.png", seed=0, n=20_000, N=100):
    """Draw the figure; return {name: (variance on N(0, 1) (N+1,), samples (n,))}."""
    law, sched = toys.example_4_6(), schedule.constant(N, 0.95)
    start = np.random.default_rng(seed).standard_normal((n, 1))
    fig, ((left, *axes),) = plots.figure(1, 3, 3.5)
    found, x = {}, np.linspace(-13, 13, 400)
    for ax, (name, step) in zip(axes, STEPS.items(), strict=True):
        color = plots.EXACT if step is predictors.reverse_step else plots.LEARNED
        chain = predictors.pc_chain(predictors.vp_predictor(sched, step))
        var = chain.law(np.zeros(1), np.eye(1))[1][:, 0, 0]
        *_, x0 = chain.run(start, law.model, rng=np.random.default_rng(seed + 1))
        found[name] = var, x0[:, 0]
        x0 = x0[:, 0]
        left.plot(range(N + 1), var, color=color, label=f"{name}: {var[-1]:.2f}")
        ax.hist(x0, 100, range=(-13, 13), density=True, color=color, alpha=0.55)
        ax.plot(x, np.exp(law.logpdf(x[:, None])), "k", lw=1, label="the mixture")
        for side in (x0[x0 < 0].mean(), x0[x0 > 0].mean()):
            ax.axvline(side, 0, 0.85, color="black", lw=1, ls="--")
        half = x0[x0 > 0]
        text = f"half-line mean {half.mean():.2f}, sd {half.std():.2f}"
        ax.set_title(f"{name}: {text}", fontsize=9)
        ax.set(xlabel="x", ylabel="density", ylim=(0, 0.25))
        ax.legend(fontsize=9, frameon=False, loc="upper left")
    left.set(xlabel="steps taken", ylabel="exact variance", ylim=(0, 6.6))
    left.set_title("data N(0, 1): variance should be 1", fontsize=9)
    left.legend(fontsize=9, frameon=False, loc="upper left")
    text = f"{N} steps of (4.17), beta = 0.05, exact score; middle and right Ex 4.7"
    fig.suptitle(f"{text}, {n:,} samples; dashed: half-line means", fontsize=10)
    plots.save(fig, out)
    return found


if __name__ == "__main__":
    main()
