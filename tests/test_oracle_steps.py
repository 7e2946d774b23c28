"""The oracle's discrete steps: the truth, the known bugs, and refdiff as a target."""

import functools

import numpy as np
import pytest

from refdiff import targets as chapter
from refdiff.oracle import build, museum, reference
from refdiff.oracle.adapter import InProcess
from refdiff.oracle.check import check
from refdiff.oracle.families.thresholding import dynamic_threshold
from refdiff.oracle.judge import within
from refdiff.oracle.museum import clipping as m_clipping
from refdiff.oracle.museum import ddim as m_ddim
from refdiff.oracle.museum import ddpm as m_ddpm
from refdiff.oracle.museum import forward as m_forward
from refdiff.oracle.museum import inverse as m_inverse
from refdiff.oracle.museum import steps as m_steps
from refdiff.oracle.museum import targets as m_targets
from refdiff.oracle.truth import clipping, ddim, ddpm, forward, posterior, targets
from refdiff.oracle.truth.arithmetic import UNIT, Exact, Machine
from refdiff.oracle.truth.cover import covering, everything
from refdiff.oracle.truth.schedules import alpha_bar_of, timesteps_of
from refdiff.oracle.truth.walks import SCHEDULES, TARGETS, ZERO, walk
from refdiff.oracle.vector import documents

TRUTHS = (targets, forward, posterior, ddpm, ddim, clipping)
FAMILIES = {f.name: f for truth in TRUTHS for f in truth.FAMILIES}
MUSEUMS = (m_targets, m_forward, m_ddpm, m_ddim, m_inverse, m_clipping, m_steps)
EXHIBITS = {e.id: e for part in MUSEUMS for e in part.EXHIBITS}
PAIRS = [(e, family) for e in EXHIBITS for family in EXHIBITS[e].families]
REAL = [pair for pair in PAIRS if EXHIBITS[pair[0]].grade in "ABC"]
BEYOND = {"ddim": clipping.ddim_clipped, "ddpm": clipping.ddpm_clipped}


@functools.cache
def shipped(family):
    (document,) = documents(family=family)
    return document


def asked(vector, m=None):
    """Problem and inputs as an adapter is given them, or an arithmetic's numbers."""
    p = vector["problem"] | {k: np.array(v) for k, v in vector["inputs"].items()}
    return p if m is None else {k: m.number(v) for k, v in p.items()}


def valid(family):
    return [v for v in shipped(family)["vectors"] if v["result"] == "valid"]


def passes(vector, answer, unit):
    """Whether an answer, whole tables included, agrees with a vector."""
    if not isinstance(answer, dict):
        answer = {next(iter(vector["outputs"])): answer}
    answer = {k: np.atleast_1d(np.asarray(v, float)) for k, v in answer.items()}
    if "at" in vector:
        answer = {k: v[vector["at"]] for k, v in answer.items()}
    return within(vector["outputs"], answer, unit)


# The right answers -----------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("family", FAMILIES)
def test_refdiff_passes_every_vector(family):
    for vector in shipped(family)["vectors"]:
        if vector["result"] == "must-refuse":
            with pytest.raises(ValueError, match="say"):
                getattr(reference, family)(asked(vector))
        else:
            answer = getattr(reference, family)(asked(vector))
            assert passes(vector, answer, UNIT["float64"]), vector["id"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_right_writings_pass_in_each_precision(family, dtype):
    """In x0 and eps; by conditioning or Bayes' rule, with x0 found by the score."""
    m = Machine(dtype)
    for vector in valid(family):
        for form in (FAMILIES[family].truth, FAMILIES[family].again):
            assert passes(vector, form(asked(vector, m), m), UNIT[dtype]), vector["id"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("family", ["convert", "convert_ve"])
def test_a_program_that_keeps_all_as_x0_may_convert(family, dtype):
    real = np.dtype(dtype).type
    for vector in valid(family):
        p = {k: real(v) if k in "x output" else v for k, v in asked(vector).items()}
        start, end, x, y = (p[k] for k in ("from", "to", "x", "output"))
        square = real(p.get("alpha_bar", 1))
        level = np.sqrt(square), real(p.get("sigma", 0)) or np.sqrt(1 - square)
        if square > 0 and {start, end} != {"eps", "score"}:
            if start != "x0":
                y = getattr(chapter, f"x0_from_{start}")(x, y, *level)
            if end != "x0":
                y = getattr(chapter, f"{end}_from_x0")(x, y, *level)
            assert y.dtype == real and passes(vector, y, UNIT[dtype]), vector["id"]


@pytest.mark.identity
def test_the_last_noise_is_the_same_whether_x0_is_clipped_or_not():
    exhibit, seen = EXHIBITS["last_noise=added"], 0
    for vector in valid("ddpm_clipped"):
        if exhibit.id in vector.get("accept", {}):
            p = asked(vector, M)
            added = [
                exhibit.families[name](p, M)["x_prev"]
                - FAMILIES[name].truth(p, M)["x_prev"]
                for name in ("ddpm", "ddpm_clipped")
            ]
            assert near(*added)
            seen += 1
    assert seen


def ancestral_in_eps(p, m):
    """A third right writing, in eps alone: the mean of Ho's Algorithm 2."""
    table = alpha_bar_of(p["schedule"], m)
    times = [*p["timesteps"], None]
    now, after = times[p["index"]], times[p["index"] + 1]
    noise2 = 1 - table[now]
    keep = table[now] if after is None else table[now] / table[after]
    _, eps = targets.x0_eps(p, m, table[now])
    low, high = ddpm.bounds(p, m)
    mean = (p["x"] - (1 - keep) / m.sqrt(noise2) * eps) / m.sqrt(keep)
    return {"x_prev": mean + ddpm.noise_std(p, low, high, m) * p["z"]}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_mean_by_eps_is_the_mean_by_x0(dtype):
    """A false alarm (lucidrains' issues 47 and 53): they agree but for clipping."""
    m = Machine(dtype)
    for vector in valid("ddpm"):
        if "zero-snr" not in vector["id"]:  # eps leads nowhere from alpha_bar = 0
            answer = ancestral_in_eps(asked(vector, m), m)
            assert passes(vector, answer, UNIT[dtype]), vector["id"]


@pytest.mark.control
def test_the_mean_by_eps_is_not_the_mean_by_a_clipped_x0():
    m = Machine("float32")
    results = [
        passes(v, ancestral_in_eps(asked(v, m), m), UNIT["float32"])
        for v in valid("ddpm_clipped")
    ]
    assert sum(results) <= 2  # the few whose x0_hat lies within the box


@pytest.mark.parametrize("family", ["convert", "ddim", "ddpm"])
def test_eps_and_score_at_zero_signal_must_be_refused(family):
    refused = {
        v["problem"].get("target") or v["problem"]["from"]
        for v in shipped(family)["vectors"]
        if v["result"] == "must-refuse"
    }
    assert refused == {"eps", "score"}


def test_the_shipped_vectors_are_what_the_builder_makes():
    for name in ("convert_ve", "convert"):
        assert build.build(FAMILIES[name])["vectors"] == shipped(name)["vectors"]


# Facts that the truth must obey ------------------------------------------------------

M = Exact()
X, Z = np.array(targets.X), np.array(forward.Z)


def step(form, schedule="linear-T1000", spacing="trailing", N=7, index=3, **more):
    """A truth's answer at 50 digits."""
    p = walk(SCHEDULES.get(schedule, ZERO), spacing, N, index) | more
    (answer,) = form({k: M.number(v) for k, v in p.items()}, M).values()
    return answer


def alpha_bars(schedule="linear-T1000", spacing="trailing", N=7, index=3):
    """alpha_bar of the step's two times."""
    table = alpha_bar_of(SCHEDULES[schedule], M)
    times = timesteps_of(SCHEDULES[schedule]["T"], N, spacing)
    later = table[times[index + 1]] if index + 1 < N else M.number(1.0)
    return table[times[index]], later


def near(a, b, tol=1e-40):
    return np.max(np.abs(np.asarray(a - b, object))) < tol


def outputs_of_one_denoiser(a, x0):
    """What eps, x0, v and score models say at X of the same x0_hat."""
    signal, noise = M.sqrt(a), M.sqrt(1 - a)
    eps = (M.number(X) - signal * x0) / noise
    return {
        "eps": eps,
        "x0": x0,
        "v": signal * eps - noise * x0,
        "score": -eps / noise,
    }


@pytest.mark.identity
@pytest.mark.parametrize(
    ("form", "more"),
    [
        (ddim.ddim, {"eta": 0.37}),
        (ddpm.ddpm, {"variance": "small"}),
        (clipping.ddim_clipped, {"eta": 0.37, "clip": 1.0}),
        (clipping.thresholded, {"eta": 0.37, "ratio": 0.7, "most": 1.5}),
    ],
)
def test_four_targets_of_one_denoiser_give_one_step(form, more):
    x0 = M.number(np.array([[0.5, -1.25], [1.75, 0.125]]))
    outputs = outputs_of_one_denoiser(alpha_bars()[0], x0)
    steps = [
        step(form, x=X, z=Z, target=name, output=outputs[name], **more)
        for name in TARGETS
    ]
    assert all(near(other, steps[0]) for other in steps[1:])


@pytest.mark.identity
def test_ddim_keeps_the_marginals_for_every_eta():
    """x = signal x0 + noise eps goes to the same at the next time: from the triples."""
    for vector in valid("ddim"):
        p = vector["problem"]
        if p["target"] == "x0" and "zero" not in vector["id"]:
            c = {k: M.mp.mpf(v) for k, v in vector["affine"].items()}
            table = alpha_bar_of(p["schedule"], M)
            times, i = p["timesteps"], p["index"]
            a = table[times[i]]
            b = table[times[i + 1]] if i + 1 < len(times) else 1
            mean = c["x"] * M.sqrt(a) + c["output"]
            var = c["x"] ** 2 * (1 - a) + c["z"] ** 2
            assert abs(mean - M.sqrt(b)) < 1e-28 and abs(var - (1 - b)) < 1e-28


@pytest.mark.identity
def test_ddim_at_eta_one_is_ancestral():
    for index in range(7):
        fed = {"x": X, "output": np.array(targets.OUTPUT), "z": Z, "target": "v"}
        one = step(ddim.ddim, index=index, eta=1.0, **fed)
        assert near(one, step(ddpm.ddpm, index=index, variance="small", **fed))


@pytest.mark.identity
@pytest.mark.parametrize("index", [0, 3, 6])
def test_the_inverse_undoes_the_step(index):
    eps = np.array(targets.OUTPUT)
    up = step(ddim.inverse, index=index, x=X, output=eps, target="eps")
    p = {"x": up, "output": eps, "z": Z, "eta": 0.0, "target": "eps"}
    assert near(step(ddim.ddim, index=index, **p), X)


@pytest.mark.identity
def test_learned_range_runs_from_small_to_large():
    """At -1 and 1 the two fixed variances; at 0 their geometric mean."""
    fed = {"x": 0 * X, "output": 0 * X, "z": np.ones((2, 2)), "target": "eps"}
    std = {
        r: step(ddpm.ddpm, variance="learned-range", range=np.full((2, 2), r), **fed)
        for r in (-1.0, 0.0, 1.0)
    }
    small, large = (step(ddpm.ddpm, variance=v, **fed) for v in ("small", "large"))
    assert near(std[-1.0], small) and near(std[1.0], large)
    assert near(std[0.0] ** 2, small * large)
    assert not near(std[0.0] ** 2, (small**2 + large**2) / 2, 1e-6)


@pytest.mark.identity
def test_single_steps_compose_into_the_noising():
    """The factors of x multiply to the signal; the noises add up to the noise."""
    schedule, signal, noise2 = SCHEDULES["linear-T137"], 1, 0
    for k in range(12):
        p = {"schedule": schedule, "t": k}
        one, none = M.number(np.ones((1, 1))), M.number(np.zeros((1, 1)))
        keep = forward.one_step(p | {"x": one, "eps": none}, M)["xt"][0, 0]
        fresh = forward.one_step(p | {"x": none, "eps": one}, M)["xt"][0, 0]
        signal, noise2 = signal * keep, noise2 * keep**2 + fresh**2
    p = {"schedule": schedule, "t": [11]}
    whole = forward.add_noise(p | {"x0": one, "eps": none}, M)["xt"][0, 0]
    rest = forward.add_noise(p | {"x0": none, "eps": one}, M)["xt"][0, 0]
    assert near(whole, signal) and near(rest**2, noise2)


@pytest.mark.oracle
def test_the_posterior_is_bayes_rule_on_a_grid():
    """Prior times likelihood, summed over a fine grid of x_s."""
    a, b = (float(v) for v in alpha_bars(N=26, index=12))
    x0, xt = 0.3125, -0.4375
    grid = np.linspace(-12, 12, 20001)
    log = -((grid - np.sqrt(b) * x0) ** 2) / 2 / (1 - b)
    log -= (xt - np.sqrt(a / b) * grid) ** 2 / 2 / (1 - a / b)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = weight @ grid
    fed = {"x": M.number([[xt]]), "x0": M.number([[x0]])}
    p = walk(SCHEDULES["linear-T1000"], "trailing", 26, 12)
    law = posterior.posterior(p | fed, M)
    assert float(law["mean"][0, 0]) == pytest.approx(mean, rel=1e-12)
    spread = weight @ (grid - mean) ** 2
    assert float(law["variance"][0]) == pytest.approx(spread, rel=1e-12)


@pytest.mark.identity
def test_conversions_there_and_back_are_the_identity():
    for start in TARGETS:
        for end in TARGETS:
            p = {"alpha_bar": 0.25, "x": X}
            there = targets.convert(
                {k: M.number(v) for k, v in p.items()}
                | {"from": start, "to": end, "output": M.number(targets.OUTPUT)},
                M,
            )["converted"]
            back = targets.convert(
                {k: M.number(v) for k, v in p.items()}
                | {"from": end, "to": start, "output": there},
                M,
            )["converted"]
            assert near(back, np.array(targets.OUTPUT))


def test_every_piece_of_the_thresholds_is_asked_for():
    """Quantiles below 1, between, and above `most`; entries inside and outside of s."""
    pieces = set()
    for vector in valid("ddim_thresholded"):
        p = asked(vector)
        a = float(alpha_bar_of(p["schedule"], M)[p["timesteps"][p["index"]]])
        signal, noise = np.sqrt(a), np.sqrt(1 - a)
        x0, _ = targets.from_output(p["target"], p["x"], p["output"], signal, noise)
        for row in x0:
            s = np.quantile(np.abs(row), p["ratio"])
            pieces.add(0 if s < 1 else 1 if s < p["most"] else 2)
    assert pieces == {0, 1, 2}


@pytest.mark.limit
def test_a_threshold_that_nothing_reaches_changes_nothing():
    x0 = np.array([[0.5, -0.9, 0.1], [0.2, 0.99, -0.4]])
    assert (dynamic_threshold(x0, 0.9, 1.5) == x0).all()
    assert np.abs(dynamic_threshold(9 * x0, 0.9, 1.5)).max() == 1


def test_dynamic_threshold_refuses_a_ratio_that_is_none():
    for ratio, most in ((1.1, 1.5), (-0.1, 1.5), (0.9, 0.5)):
        with pytest.raises(ValueError, match="ratio must be in 0..1"):
            dynamic_threshold(np.zeros((1, 3)), ratio, most)


def met(rows):
    return {
        frozenset([(i, row[i]), (j, row[j])]) for row in rows for i in row for j in row
    }


def test_a_covering_grid_holds_every_pair_of_settings():
    axes = {"a": (1, 2, 3), "b": ("x", "y"), "c": (0.0, 0.5, 1.0), "d": ("p", "q")}
    rows = covering(**axes)
    assert met(rows) == met(everything(**axes)) and len(rows) < 12
    assert met(rows[:-1]) < met(rows)


# The wrong answers -------------------------------------------------------------------


@pytest.mark.parametrize("name", EXHIBITS)
def test_every_exhibit_is_told_from_the_truth(name):
    for family in EXHIBITS[name].families:
        found = [v for v in shipped(family)["vectors"] if name in v.get("wrong", ())]
        refused = {v["result"] for v in shipped(family)["vectors"]}
        assert found or (name == "NUM-07" and "must-refuse" in refused), family


def test_an_id_stands_once():
    ids = [e.id for e in museum.EXHIBITS]
    assert len(set(ids)) == len(ids)


def bugged(exhibit, family, dtype="float64"):
    """A target that has the bug wherever it has a number, and is right elsewhere."""
    m = Machine(dtype)

    def answer(p):
        p = {k: m.number(v) for k, v in p.items()}
        try:
            return exhibit.families[family](p, m)
        except (ValueError, ZeroDivisionError):
            return FAMILIES[family].truth(p, m)

    return type("Bugged", (), {"dtype": dtype, family: staticmethod(answer)})()


@pytest.mark.parametrize(("name", "family"), REAL, ids=map("/".join, REAL))
def test_every_bug_that_was_real_is_named(name, family):
    with np.errstate(all="ignore"):
        target = InProcess(bugged(EXHIBITS[name], family))
        (verdict,) = check(target, [shipped(family)]).verdicts
    assert verdict.status == "differs" and name in verdict.bugs


def test_a_declared_convention_is_accepted():
    exhibit = EXHIBITS["final_alpha_bar=first"]
    for family in exhibit.families:
        target = bugged(exhibit, family)
        (verdict,) = check(InProcess(target), [shipped(family)]).verdicts
        assert verdict.status == "differs"
        target.conventions = {"final_alpha_bar": "first"}
        (verdict,) = check(InProcess(target), [shipped(family)]).verdicts
        assert verdict.status == "convention"


# The museum's own numbers: the law of whole runs on data N(1.5, 0.25) --------------

F = Machine()


def law(form, N, spacing="trailing", **more):
    """Mean and variance of what a step's run makes of N(0, 1) with the exact eps."""
    schedule, mean, var = SCHEDULES["linear-T1000"], 0.0, 1.0
    times = timesteps_of(1000, N, spacing)
    for index, k in enumerate(times):
        a = alpha_bar_of(schedule, F)[k]
        slope = np.sqrt(1 - a) / (0.25 * a + 1 - a)
        p = {"schedule": schedule, "timesteps": times, "index": index, "target": "eps"}
        c_x, c_y, c_z = triple(form, p | more)
        keep = c_x + c_y * slope
        mean = keep * mean - c_y * slope * np.sqrt(a) * 1.5
        var = keep**2 * var + c_z**2
    return mean, var


def triple(form, p):
    """The three numbers of an affine step, by one call on unit vectors."""
    x, y, z = np.eye(3)
    fed = {"x": x[None], "output": y[None], "z": z[None]}
    return form(p | fed, F)["x_prev"][0]


def either(name, family):
    """The exhibit where it has a number, the truth elsewhere."""
    exhibit, truth = EXHIBITS[name].families[family], FAMILIES[family].truth

    def form(p, m):
        try:
            return exhibit(p, m)
        except ValueError:
            return truth(p, m)

    return form


SMALL = {"variance": "small"}
NUMBERS = [  # exhibit, family, steps, spacing, settings, wrong and right mean, variance
    ("IDX-05", "ddpm", 50, "trailing", SMALL, (0.2097, 0.8748), (1.5000, 0.1972)),
    ("VAR-02", "ddpm", 50, "trailing", SMALL, (1.5000, 0.0109), (1.5000, 0.1972)),
    ("VAR-04", "ddpm", 1000, "trailing", SMALL, (1.5000, 0.0707), (1.5000, 0.2461)),
    ("VAR-05-i", "ddim", 50, "trailing", {"eta": 1.0}, (1.5, 0.1871), (1.5, 0.1972)),
    ("VAR-05-ii", "ddim", 50, "trailing", {"eta": 0.0}, (1.5, 0.0), (1.4955, 0.2222)),
    (
        "VAR-06",
        "ddim",
        50,
        "trailing",
        {"eta": 0.5},
        (1.4997, 0.1061),
        (1.4988, 0.2169),
    ),
    (
        "final_alpha_bar=first",
        "ddim",
        50,
        "leading",
        {"eta": 0.0},
        (1.494478, 0.223355),
        (1.494555, 0.223199),
    ),
]


@pytest.mark.law
@pytest.mark.parametrize(
    ("name", "family", "N", "spacing", "more", "wrong", "right"),
    NUMBERS,
    ids=[row[0] for row in NUMBERS],
)
def test_whole_runs_have_the_museums_numbers(
    name, family, N, spacing, more, wrong, right
):
    digits = 5e-7 if spacing == "leading" else 5.1e-5
    got = law(either(name, family), N, spacing, **more)
    assert got == pytest.approx(wrong, abs=digits)
    got = law(FAMILIES[family].truth, N, spacing, **more)
    assert got == pytest.approx(right, abs=digits)


@pytest.mark.limit
def test_repaints_misprint_is_nearly_invisible_late_and_large_early():
    """FWD-01's variance over the right one: 0.92 at t = 500, 1e-4 at the first."""
    table = alpha_bar_of(SCHEDULES["linear-T1000"], M)
    for t, share in ((499, 0.92), (0, 1e-4)):
        p = {"schedule": SCHEDULES["linear-T1000"], "t": [t]}
        p |= {"x0": M.number([[0.0]]), "eps": M.number([[1.0]])}
        wrong = EXHIBITS["FWD-01"].families["add_noise"](p, M)["xt"][0, 0]
        right = forward.add_noise(p, M)["xt"][0, 0]
        assert near(right**2, 1 - table[t])
        assert float((wrong / right) ** 2) == pytest.approx(share, abs=5e-3)


@pytest.mark.control
def test_a_learned_variance_in_a_straight_line_shows_most_at_the_end():
    """VAR-01: 4e-5 of the variance in mid-run, far more at k = 1 of a full run."""
    fed = {"x": [[0.0]], "output": [[0.0]], "z": [[1.0]], "range": [[0.0]]}
    fed |= {"target": "eps", "variance": "learned-range"}
    wrong, shares = EXHIBITS["VAR-01"].families["ddpm"], {}
    for N, index in ((50, 25), (1000, 998)):
        p = walk(SCHEDULES["linear-T1000"], "trailing", N, index) | fed
        p = {k: M.number(v) for k, v in p.items()}
        forms = [form(p, M)["x_prev"][0, 0] for form in (wrong, ddpm.ddpm)]
        shares[N] = float((forms[0] / forms[1]) ** 2 - 1)
    assert 1e-5 < shares[50] < 1e-4 and shares[1000] > 1e-2
