"""What the mean of q(x_{t-1} | x_t, x_0) is made of, as t grows.

Look at the sum: for t > 1 it is below 1, so the mean is not on the segment from x_0 to
x_t, as the tutorial's Fig 2.9 suggests; it is only in their span. Far out the step
forgets x_0: the coefficients go to sqrt(alpha) and 0. The tutorial's number is
alpha = 0.9 at every step; T = 50 is chosen here. Under 2 seconds.
"""

from pathlib import Path

import numpy as np

from refdiff import forward, plots, schedule

HERE = Path(__file__).parent


def main(out=HERE / "fig_2_10_posterior_coefficients.png", seed=0, T=50):
    """Draw the figure; return t (T,) and the coefficients of x_t and x_0 (T,)."""
    sched, t = schedule.constant(T, 0.9), np.arange(1, T + 1)
    zero, one = np.zeros((T, 1)), np.ones((T, 1))
    of_xt = forward.q_posterior(zero, one, t, sched)[0][:, 0]
    of_x0 = forward.q_posterior(one, zero, t, sched)[0][:, 0]
    fig, ((ax,),) = plots.figure(1, 1, 5.0)
    fig.set_size_inches(7.5, 4.4)
    ax.axhline(np.sqrt(0.9), color="0.6", ls=":", lw=1.2)
    ax.text(T + 1, np.sqrt(0.9), r"$\sqrt{0.9}$", va="center")
    ax.axhline(1, color="0.85", lw=1)
    ax.axhline(0, color="0.85", lw=1)
    ax.plot(t, of_xt, ".-", color=plots.DATA, ms=5, lw=1.2, label="of $x_t$")
    ax.plot(t, of_x0, ".-", color=plots.LEARNED, ms=5, lw=1.2, label="of $x_0$")
    ax.plot(t, of_xt + of_x0, "--", color="black", lw=1.2, label="their sum")
    ax.set(
        xlabel="t", ylabel="coefficient in (2.25)", xlim=(0, T + 5), ylim=(-0.05, 1.08)
    )
    ax.set_title(
        f"Mean of $q(x_{{t-1}} | x_t, x_0)$: alpha = 0.9, T = {T}", fontsize=10
    )
    ax.legend(fontsize=9, frameon=False, loc="center right")
    plots.save(fig, out)
    return t, of_xt, of_x0


if __name__ == "__main__":
    main()
