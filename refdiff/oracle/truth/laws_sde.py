"""Samplers in continuous time at 50 digits: Euler-Maruyama, Euler on the flow.

They go down p["times"], and the model is told t.
"""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.laws import LAWS, drive, given, heard, known, law_of
from refdiff.oracle.truth.sdes import (
    NOTE,
    SDES,
    coefficients,
    coefficients_again,
    half,
    marginal,
    marginal_again,
    whole,
)


def euler_maruyama_step(share, noisy):
    """Return x + h (a x - share g^2 score) + sqrt(|h|) g z, with what coefficients it is given."""

    def step(p, i, x, say, levels, m):
        t = p["times"]
        h, (a, g2) = t[i + 1] - t[i], p["rates"](p["sde"], t[i] * 1, m)
        score = -say(x, i)[1] / levels[i][1]
        moved = x + h * (a * x - share(m) * g2 * score)
        return moved + m.sqrt(-h * g2) * p["z"][i] if noisy else moved

    return step


def levels_of(p, m, f=marginal):
    """(signal, noise) at each of p["times"]."""
    return [f(p["sde"], t * 1, m) for t in p["times"]]


def sampler(share, noisy):
    """Two derivations of Euler's method in time, with noise or without."""
    step = euler_maruyama_step(share, noisy)

    def run(p, m):
        levels, asked = levels_of(p, m), [marginal(p["sde"], t, m) for t in p["times"]]
        p = {**p, "rates": coefficients}
        return drive(p, m, step, levels, heard(p, m, levels, asked))

    def again(p, m):
        levels = levels_of(p, m, marginal_again)
        p = {**p, "rates": coefficients_again}
        return drive(p, m, step, levels, known(p, m, levels))

    return run, again


def _sampler_cases(large):
    targets = ("eps", "score", "x0", "v")
    for s, (name, sde) in enumerate(SDES.items()):
        for w, law in enumerate(LAWS):
            for j, N in enumerate((2, 7, 26)):
                if large or (s + w + j) % 3 == 0 or name == "ve" and N > 2:
                    steep = [1 - i / N * (1 - 0.0625) for i in range(N + 1)]
                    problem = {
                        "sde": sde,
                        "times": [round(256 * t) / 256 for t in steep],
                        "target": targets[(s + w + j) % 4],
                        "law": LAWS[law],
                        "time": "t",
                        "start": 50.0 if name == "ve" else 1.0,
                    }
                    inputs = given(N, problem["start"])
                    yield Case(
                        f"{name}/N{N}/{problem['target']}/{law}", problem, inputs
                    )


TEXT = (
    "from x at times[0], over all of times, falling; z[i] is the noise of step i. "
    f"model(x, t) says what p['target'] is at x. Returns the last x. {NOTE}"
)
FAMILIES = (
    Family(
        "reverse_sde_sampler",
        "LAW",
        "sample",
        "Song21 (6)",
        f"Euler-Maruyama on the reverse SDE, {TEXT}",
        *sampler(whole, True),
        _sampler_cases,
        law=law_of(sampler(whole, True)[0]),
    ),
    Family(
        "flow_ode_sampler",
        "LAW",
        "sample",
        "Song21 (13)",
        f"Euler's method on the probability flow, without noise, {TEXT}",
        *sampler(half, False),
        _sampler_cases,
        law=law_of(sampler(half, False)[0]),
    ),
)
