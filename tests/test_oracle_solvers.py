"""The oracle's solver steps: right by limits, orders and laws, and by refdiff's own steps."""

import functools
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from refdiff import langevin
from refdiff.oracle import reference
from refdiff.oracle.adapter import InProcess, answer
from refdiff.oracle.check import check
from refdiff.oracle.judge import within
from refdiff.oracle.museum import EXHIBITS
from refdiff.oracle.truth import FAMILIES, dpm, flow, lms, multistep, sigma
from refdiff.oracle.truth import langevin as walks
from refdiff.oracle.truth.arithmetic import UNIT, Machine
from refdiff.oracle.truth.levels import GRIDS, SCALINGS
from refdiff.oracle.vector import documents

MODULES = (sigma, dpm, multistep, lms, flow, walks)
MINE = [family.name for module in MODULES for family in module.FAMILIES]
FAMILY = {family.name: family for family in FAMILIES}
M = Machine()
WRONG = {(e.id, name): f for e in EXHIBITS for name, f in e.families.items()}
KARRAS = GRIDS["karras-N18"]


@functools.cache
def vectors(name):
    (document,) = documents(family=name)
    return document["vectors"]


def outputs_of(reply, vector):
    got = reply["outputs"]
    return got if isinstance(got, dict) else dict.fromkeys(vector["outputs"], got)


@pytest.mark.oracle
@pytest.mark.parametrize("name", MINE)
def test_the_reference_agrees_with_every_vector_to_an_eighth_of_the_tolerance(name):
    for vector in vectors(name):
        request = {"family": name, "dtype": "float64"}
        request |= {k: vector[k] for k in ("problem", "inputs")}
        reply = answer(reference, request)
        if vector["result"] == "must-refuse":
            assert "error" in reply, vector["id"]
        else:
            got = outputs_of(reply, vector)
            assert within(vector["outputs"], got, UNIT["float64"], 1), vector["id"]


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", MINE)
def test_two_writings_in_two_precisions_raise_no_alarm(name, dtype):
    m = Machine(dtype)
    for vector in vectors(name):
        numbers = {
            k: m.number(v) for k, v in (vector["problem"] | vector["inputs"]).items()
        }
        if vector["result"] == "valid":
            for f in (FAMILY[name].truth, FAMILY[name].again):
                got = f(numbers, m)
                assert within(vector["outputs"], got, UNIT[dtype]), vector["id"]


@pytest.mark.control
@pytest.mark.parametrize(
    "exhibit",
    [e for e in EXHIBITS if set(e.families) <= set(MINE)],
    ids=lambda e: e.id,
)
def test_every_exhibit_is_told_apart_in_each_of_its_families(exhibit):
    for name in exhibit.families:
        assert any(exhibit.id in vector.get("wrong", ()) for vector in vectors(name))


@pytest.mark.control
@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("dpmpp_2m", "solver_type=heun"),
        ("dpmpp_sde_2m", "solver_type=heun"),
        ("dpmpp_3m", "third_order_curvature=half"),
        ("flow_heun", "flow_last_step=heun"),
        ("langevin_corrector", "corrector_alpha=one_minus_beta"),
        ("langevin_corrector", "corrector_norm=row"),
    ],
)
def test_a_convention_differs_by_name_until_it_is_declared(name, id):
    def follower(p):
        numbers = {k: M.number(v) for k, v in p.items()}
        try:
            return WRONG[id, name](numbers, M)
        except ValueError:
            if p.get("target") == "eps" and p.get("sigmas", [0])[p["index"]] == 1:
                raise
            return FAMILY[name].truth(numbers, M)

    for conventions, status in (({}, "differs"), (dict([id.split("=")]), "convention")):
        adapter = SimpleNamespace(**{name: follower, "conventions": conventions})
        (verdict,) = check(InProcess(adapter), documents(family=name)).verdicts
        assert verdict.status == status
        assert status == "convention" or list(verdict.bugs) == [id]


@pytest.mark.control
@pytest.mark.parametrize("name", MINE)
def test_no_wrong_answer_is_the_right_one_and_no_two_bugs_always_agree(name):
    rows = {}
    for k, vector in enumerate(vectors(name)):
        for bug, value in vector.get("wrong", {}).items():
            assert not within(vector["outputs"], value, UNIT["float64"])
            rows.setdefault(bug, {})[k] = str(value)
    seen = [frozenset(row.items()) for row in rows.values()]
    assert len(set(seen)) == len(seen)


# Laws: data N(1.5, 0.25), for which the exact model is affine.
MEAN, VAR = 1.5, 0.25


def said(x, at, target):
    """The exact model's output for Gaussian data at (signal, noise)."""
    signal, noise = at
    var = signal**2 * VAR + noise**2
    score = (signal * MEAN - x) / var
    x0, eps = (x + noise**2 * score) / signal, -noise * score
    r = np.hypot(signal, noise)
    return {
        "x0": x0,
        "eps": eps,
        "score": score,
        "v": (signal * eps - noise * x0) / r,
        "flow": eps - x0,
    }[target]


def law_of(step, first):
    """Mean and variance of the end of a run of affine steps, started from N(0, first^2)."""
    at_0, at_1 = step(np.array([[0.0]])), step(np.array([[1.0]]))
    slope = at_1 - at_0
    return float(at_0[0, 0]), float(first * slope[0, 0]) ** 2


def heun_run(form, target, sigmas=KARRAS):
    """Heun's whole run with the exact model, as a map of its start."""

    def run(x):
        for i, (s, t) in enumerate(pairwise(sigmas)):
            p = {"sigmas": np.array(sigmas), "index": i, "target": target, "x": x}
            p["output"] = said(x, (1.0, s), target)
            x_2 = sigma.euler(p, M)["x_prev"]
            p["output_2"] = said(x_2, (1.0, t), target) if t else x_2
            x = (form if t else sigma.heun)(p, M)["x_prev"]
        return x

    return run


@pytest.mark.law
@pytest.mark.parametrize("target", ["eps", "x0", "v", "score"])
def test_heun_in_18_steps_has_its_known_law_from_every_target(target):
    mean, var = law_of(heun_run(sigma.heun, target), 80.0)
    assert (round(mean, 4), round(var, 4)) == (1.4901, 0.2784)


@pytest.mark.control
def test_the_old_sigma_in_heuns_second_slope_is_loud_with_v_and_silent_with_eps():
    wrong = WRONG["STP-01", "heun"]
    mean, var = law_of(heun_run(wrong, "v"), 80.0)
    assert (round(mean, 4), round(var, 4)) == (1.3576, 1.2907)
    mean, var = law_of(heun_run(wrong, "eps"), 80.0)
    assert (round(mean, 4), round(var, 4)) == (1.4901, 0.2784)


@pytest.mark.law
def test_langevin_keeps_the_variance_that_its_chapter_says():
    def kept(form, eps):  # of x <- slope x + noise z, where the score is -x
        p = {"tau": eps / 2, "x": 1.0, "score": -1.0, "z": 0.0}
        slope = form(p, M)["x_next"]
        noise = form(p | {"x": 0.0, "score": 0.0, "z": 1.0}, M)["x_next"]
        return noise**2 / (1 - slope**2)

    right, wrong = FAMILY["langevin"].truth, WRONG["SDE-04", "langevin"]
    exact = langevin.stationary_cov(np.eye(1), 0.005)[0, 0]
    assert kept(right, 0.01) == pytest.approx(exact, rel=1e-12)
    assert round(kept(right, 0.01), 4) == 1.0025
    assert round(kept(wrong, 0.01), 4) == 0.0100


@pytest.mark.control
def test_the_two_readings_of_the_correctors_alpha_differ_by_12_7():
    schedule = {"kind": "linear", "T": 1000, "beta_1": 1e-4, "beta_T": 0.02}
    ones = np.ones((1, 1))
    p = {"schedule": schedule, "k": 500, "r": 0.16, "x": 0 * ones, "score": ones}
    wrong = WRONG["corrector_alpha=one_minus_beta", "langevin_corrector"]
    step = [
        f(p | {"z": z}, M)["x_next"]
        for f in (walks.corrector, wrong)
        for z in (ones, -ones)
    ]
    sizes = (step[0] + step[1]) / 2, (step[2] + step[3]) / 2  # e, as score = 1
    assert round(float((sizes[1] / sizes[0])[0, 0]), 1) == 12.7


@pytest.mark.identity
@pytest.mark.parametrize("eta", [0.0, 0.37, 1.0])
@pytest.mark.parametrize("scaling", ["ve", "vp", "flow"])
def test_any_noise_keeps_the_marginals_of_a_single_point(eta, scaling):
    sigmas = np.array([0.75, 0.5, 0.25])
    (a, b), (c, d) = (SCALINGS[scaling](s, M) for s in sigmas[:2])
    for form in (sigma.euler_ancestral, multistep.sde_2m):
        if form is sigma.euler_ancestral and scaling != "ve":
            continue
        base = {"sigmas": sigmas, "index": 0, "scaling": scaling, "target": "x0"}
        base |= {"eta": eta, "history": [], "x": 0.0, "output": 0.0, "z": 0.0}
        pull, grow = (form(base | {k: 1.0}, M)["x_prev"] for k in ("x", "z"))
        at_point = form(base | {"x": a * 1.5, "output": 1.5}, M)["x_prev"]
        assert (pull * b) ** 2 + grow**2 == pytest.approx(d**2, rel=1e-12)
        assert at_point == pytest.approx(c * 1.5, rel=1e-12)


@pytest.mark.identity
def test_churn_raises_the_noise_to_sigma_hat_and_no_further():
    p = {"sigmas": np.array([2.0, 1.0, 0.0]), "index": 0, "target": "x0"}
    p |= {"churn": 0.5, "s_min": 0.0, "s_max": 9.0, "s_noise": 1.0}
    p |= {"x": 0.0, "z": 0.0, "output": 0.0, "output_2": 0.0}
    pull, grow = (sigma.edm_heun(p | {k: 1.0}, M)["x_prev"] for k in ("x", "z"))
    assert (grow / pull) ** 2 + 2.0**2 == pytest.approx((2.0 * 1.25) ** 2, rel=1e-12)


# Orders: the exact flow of Gaussian data from sigma 4 to 1/2.


def exact(sigma_, start):
    """The flow's point at a sigma, in x0 + sigma eps."""
    return MEAN + np.sqrt((VAR + sigma_**2) / (VAR + 16)) * (start - MEAN)


def pieces(scaling, ratio):
    """The grid's own number and the level at a ratio noise / signal."""
    s = ratio / (1 + ratio) if scaling == "flow" else ratio
    return s, SCALINGS[scaling](s, M)


def run(form, N, scaling, target, memory=0, inner=()):
    """N steps even in log sigma, with the exact model; the first points are exact."""
    ratios = 4.0 * (1 / 8) ** (np.arange(N + 1) / N)
    grid = np.array([pieces(scaling, q)[0] for q in ratios])
    ats = [pieces(scaling, q)[1] for q in ratios]
    pairs, y = [], 5.0
    for i in range(N):
        y = exact(ratios[i], 5.0) if i <= memory else y
        x = np.array([[ats[i][0] * y]])
        p = {"sigmas": grid, "index": i, "scaling": scaling, "target": target, "x": x}
        p |= {
            "output": said(x, ats[i], target),
            "history": pairs[-memory:] * bool(memory),
        }
        pairs.append((x, p["output"]))
        if i < memory:
            continue
        for name, of, r in inner:
            q = ratios[i] * (1 / 8) ** (r / N)
            point = of(p | {"r_1": 1 / 3, "r_2": 2 / 3}, q)
            p |= {name: said(point, pieces(scaling, q)[1], target), "x_3": point}
        p |= {"r": 0.5, "r_1": 1 / 3, "r_2": 2 / 3}
        y = (form(p, M)["x_prev"] / ats[i + 1][0])[0, 0]
    return abs(y - exact(0.5, 5.0))


def first_order(p, q):
    grid = [p["sigmas"][p["index"]], pieces(p["scaling"], q)[0]]
    return dpm.dpm_1(p | {"sigmas": np.array(grid), "index": 0}, M)["x_prev"]


def straight(p, q):
    """Euler's point in sigma, for the methods that are in no other scaling."""
    grid = [p["sigmas"][p["index"]], q]
    return sigma.euler(p | {"sigmas": np.array(grid), "index": 0}, M)["x_prev"]


def second_point(p, q):
    return dpm.dpm_3_mid(p, M)["x_prev"]


END = (("output_2", straight, 1.0),)
HALF = (("output_2", first_order, 0.5),)
THIRDS = (("output_2", first_order, 1 / 3), ("output_3", second_point, 2 / 3))
ORDERS = [
    ("euler", sigma.euler, 1, "ve", {}),
    ("heun", sigma.heun, 2, "ve", {"inner": END}),
    ("dpm2", sigma.dpm2, 2, "ve", {"inner": (("output_2", straight, 0.5),)}),
    ("lms-2", lms.lms, 2, "ve", {"memory": 1}),
    ("lms-4", lms.lms, 4, "ve", {"memory": 3}),
    *(
        (name, form, order, scaling, more)
        for scaling in ("ve", "vp", "flow")
        for name, form, order, more in (
            ("dpm-1", dpm.dpm_1, 1, {}),
            ("dpm-2", dpm.dpm_2, 2, {"inner": HALF}),
            ("dpm-3", dpm.dpm_3, 3, {"inner": THIRDS}),
            ("dpmpp-1", dpm.dpmpp_1, 1, {}),
            ("dpmpp-2s", dpm.dpmpp_2s, 2, {"inner": HALF}),
            ("dpmpp-2m", multistep.dpmpp_2m, 2, {"memory": 1}),
            ("dpmpp-3m", multistep.dpmpp_3m, 3, {"memory": 2}),
        )
    ),
]


def slope_of(form, scaling, target, first=64, **more):
    N = first, 2 * first
    coarse, fine = (run(form, n, scaling, target, **more) for n in N)
    return np.log2(coarse / fine)


@pytest.mark.order
@pytest.mark.parametrize("target", ["eps", "x0", "v"])
@pytest.mark.parametrize(
    ("form", "order", "scaling", "more"),
    [row[1:] for row in ORDERS],
    ids=[f"{row[0]}-{row[3]}" for row in ORDERS],
)
def test_each_step_has_its_order_on_the_flow_of_a_gaussian(
    form, order, scaling, more, target
):
    target = "flow" if (scaling, target) == ("flow", "v") else target
    assert slope_of(form, scaling, target, **more) > order - 0.2


@pytest.mark.control
def test_half_the_curvature_costs_the_third_order():
    half = WRONG["third_order_curvature=half", "dpmpp_3m"]
    assert slope_of(multistep.dpmpp_3m, "vp", "eps", 256, memory=2) > 2.9
    assert 1.8 < slope_of(half, "vp", "eps", 256, memory=2) < 2.1


@pytest.mark.control
@pytest.mark.parametrize(
    ("bug", "family", "more"),
    [
        ("SYN-2m-r-inverse", "dpmpp_2m", {"memory": 1}),
        ("SYN-2m-sign", "dpmpp_2m", {"memory": 1}),
        ("SYN-second-no-half", "dpm_solver_2", {"inner": HALF}),
        ("SYN-second-no-half", "dpmpp_2s", {"inner": HALF}),
        ("SYN-heun-first-only", "heun", {"inner": END}),
        ("SYN-lms-turned", "lms", {"memory": 3}),
    ],
)
def test_wrong_weights_cost_the_second_order(bug, family, more):
    if bug == "SYN-2m-r-inverse":  # on even steps in lam it is no bug: the mask
        assert slope_of(WRONG[bug, family], "ve", "x0", **more) > 1.8
    else:
        assert slope_of(WRONG[bug, family], "ve", "x0", **more) < 1.3


# The museum's false alarms.


def problem(name, **want):
    """The first vector of a family with these settings, as numbers of this machine."""
    for vector in vectors(name):
        p = vector["problem"]
        if all(p.get(k) == v for k, v in want.items()):
            numbers = p | vector["inputs"]
            return vector, {k: M.number(v) for k, v in numbers.items()}
    raise AssertionError(f"{name} has no such vector")


@pytest.mark.oracle
def test_the_minus_one_of_dpm_solver_may_be_inside_expm1():
    vector, p = problem("dpm_solver_1", scaling="vp", target="eps", index=3)
    (a, b), (c, d) = (SCALINGS["vp"](s, M) for s in p["sigmas"][3:5])
    h = np.log(c / d) - np.log(a / b)
    got = {"x_prev": c / a * p["x"] - d * np.expm1(h) * p["output"]}
    assert within(vector["outputs"], got, UNIT["float64"])


@pytest.mark.oracle
def test_euler_on_v_prediction_needs_no_root_where_the_sample_is_ve():
    vector, p = problem("euler", target="v", index=3)
    s, t = p["sigmas"][3:5]
    c_skip, c_out = 1 / (s**2 + 1), -s / np.sqrt(s**2 + 1)
    x0 = c_out * p["output"] + c_skip * p["x"]
    got = {"x_prev": p["x"] + (t - s) * (p["x"] - x0) / s}
    assert within(vector["outputs"], got, UNIT["float64"])


@pytest.mark.oracle
def test_2m_weighs_by_the_ratio_of_the_last_step_to_this_one():
    vector, p = problem("dpmpp_2m", scaling="vp", target="x0", index=3)
    t, s, q = (-np.log(p["sigmas"][k]) for k in (2, 3, 4))
    r = (s - t) / (q - s)
    mix = (1 + 1 / (2 * r)) * p["output"] - 1 / (2 * r) * p["history"][0][1]
    (_, b), (c, d) = (SCALINGS["vp"](v, M) for v in p["sigmas"][3:5])
    got = {"x_prev": d / b * p["x"] - c * np.expm1(-(q - s)) * mix}
    assert within(vector["outputs"], got, UNIT["float64"])


@pytest.mark.oracle
def test_lms_weights_are_those_of_adams_and_bashforth_on_even_steps():
    known = {1: [1], 2: [3 / 2, -1 / 2], 3: [23 / 12, -16 / 12, 5 / 12]}
    known[4] = [55 / 24, -59 / 24, 37 / 24, -9 / 24]
    for order, weights in known.items():
        nodes = [float(k) for k in range(order)]  # sigma may run either way
        found = [lms.lagrange_integral(nodes, j, -1.0, M) for j in range(order)]
        assert np.allclose(found, -np.array(weights), rtol=1e-13)


@pytest.mark.limit
@pytest.mark.parametrize("name", [n for n in MINE if FAMILY[n].tier == "STEP"])
def test_every_answer_is_finite_down_to_no_noise(name):
    for vector in vectors(name):
        for output in vector.get("outputs", {}).values():
            assert np.isfinite(np.array(output["value"], float)).all(), vector["id"]
