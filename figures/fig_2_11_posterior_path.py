"""Walking backwards to a known x_0, and the width of each step.

Look at the left panel: the band is where x_{t-1} lies with probability 95% given the
x_t drawn, and it closes on x_0 at the end. On the right sigma_q^2 beside the form that
the statement (2.26) prints, with a root too many: at t = 2 it is half of the truth.
Fig 2.11 states no parameters: alpha = 0.9 is taken from Fig 2.10, while T = 50, x_0 = 2
and the band of 2 sigma_q are chosen here. Under 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import forward, plots, schedule

HERE = Path(__file__).parent


def main(out=HERE / "fig_2_11_posterior_path.png", seed=0, T=50):
    """Draw it; return path (T+1,), mean (T,), var (T,) for t-1 = 0..T-1, printed (T,)."""
    sched, rng = schedule.constant(T, 0.9), np.random.default_rng(seed)
    x0 = np.array([2.0])
    path, mean, var = np.empty(T + 1), np.empty(T), np.empty(T)
    path[T] = forward.q_sample(x0, T, rng.standard_normal(1), sched)[0]
    for t in range(T, 0, -1):
        law = forward.q_posterior(x0, path[[t]], t, sched)
        mean[t - 1], var[t - 1] = law[0][0], law[1][0]
        path[t - 1] = mean[t - 1] + np.sqrt(var[t - 1]) * rng.standard_normal()
    printed = (1 - 0.9) * (1 - sched.signal[:-1]) / sched.noise2[1:]
    fig, ((left, right),) = plots.figure(1, 2, 4.4)
    half, t = 2 * np.sqrt(var), np.arange(T)
    band = r"mean $\pm\,2\sigma_q$ given $x_{t+1}$, $x_0$"
    left.fill_between(
        t, mean - half, mean + half, color=plots.DATA, alpha=0.25, lw=0, label=band
    )
    left.plot(
        np.arange(T + 1), path, ".-", color=plots.LEARNED, ms=4, lw=1, label="$x_t$"
    )
    left.plot(0, x0, "o", color="black", ms=6, label="$x_0 = 2$", clip_on=False)
    left.set(xlabel="t (the walk goes to the right)", ylabel="x", xlim=(T, 0))
    left.set_title(f"A path of $q(x_{{t-1}} | x_t, x_0)$, T = {T}", fontsize=10)
    left.legend(fontsize=8, frameon=False)
    t = np.arange(1, T + 1)
    right.axhline(0.1, color="0.6", ls=":", lw=1.2, label=r"limit $1 - \alpha$")
    right.plot(
        t, var, ".-", color=plots.EXACT, ms=5, lw=1, label=r"$\sigma_q^2$, (2.32)"
    )
    right.plot(t, printed, "x", color="black", ms=4, label="(2.26) as printed: wrong")
    right.set(xlabel="t", ylabel="variance of $x_{t-1}$", ylim=(-0.004, 0.11))
    right.set_title(r"Variance of one step, $\alpha$ = 0.9", fontsize=10)
    right.legend(fontsize=8, frameon=False)
    fig.get_layout_engine().set(wspace=0.06)
    plots.save(fig, out)
    return path, mean, var, printed


if __name__ == "__main__":
    main()
