"""The oracle's samplers, orders, processes and likelihoods, by laws, limits and identities."""

import functools

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import multivariate_normal

from refdiff import ddim, ddpm, edm, mixture, ode, predictors, reversal, schedule, sde
from refdiff import solvers as sde_solvers
from refdiff.oracle import models, reference
from refdiff.oracle.build import build
from refdiff.oracle.judge import end_errors, excess, observed_order, within
from refdiff.oracle.museum import EXHIBITS
from refdiff.oracle.museum import laws as wrong_laws
from refdiff.oracle.truth import (
    laws_sde,
    laws_sigma,
    laws_vp,
    likelihood,
    mixtures,
    orders,
    samples,
    sdes,
)
from refdiff.oracle.truth.arithmetic import UNIT, Exact, Machine
from refdiff.oracle.truth.laws import law_of
from refdiff.oracle.truth.schedules import timesteps_of
from refdiff.oracle.vector import documents

SAMPLERS = (laws_vp, laws_sigma, laws_sde)
MODULES = (sdes, likelihood, *SAMPLERS, orders, samples)
FAMILY = {family.name: family for module in MODULES for family in module.FAMILIES}
WRONG = {(e.id, name): f for e in EXHIBITS for name, f in e.families.items()}
M, EXACT = Machine(), Exact()
ONE = {"weights": [1.0], "means": [[1.5]], "covs": [[[0.25]]]}  # the museum's own data
LOOSE_KINDS = {"truncation", "statistical"}


@functools.cache
def vectors(name):
    (document,) = documents(family=name)
    return document["vectors"]


def problem(vector, m=None):
    """Problem and inputs, as numbers of m or as an adapter gets them."""
    if m is not None:
        both = vector["problem"] | vector["inputs"]
        return {k: m.number(v) for k, v in both.items()}
    inputs = {k: np.array(v, float) for k, v in vector["inputs"].items()}
    p = vector["problem"] | inputs
    return p | {"model": models.model(p)} if "law" in p else p


def answered(vector, got):
    """An answer as {output: array}."""
    return got if isinstance(got, dict) else dict.fromkeys(vector["outputs"], got)


@pytest.mark.oracle
@pytest.mark.parametrize("name", FAMILY)
def test_the_reference_agrees_with_every_vector(name):
    """To an eighth of the tolerance where that is one of rounding."""
    loose = LOOSE_KINDS & {*FAMILY[name].kinds.values()}
    for vector in vectors(name):
        got = answered(vector, getattr(reference, name)(problem(vector)))
        headroom = 8 if loose else 1
        assert within(vector["outputs"], got, UNIT["float64"], headroom), vector["id"]


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_two_writings_in_two_precisions_raise_no_alarm(dtype):
    """To half of the tolerance, in arithmetic that really is of that precision."""
    m, seen = Machine(dtype), 0
    for name, family in FAMILY.items():
        if LOOSE_KINDS & {*family.kinds.values()}:
            continue
        for vector in vectors(name):
            for f in (family.truth, family.again):
                for key, got in f(problem(vector, m), m).items():
                    output, got = vector["outputs"][key], np.atleast_1d(got)
                    assert got.dtype in (m.dtype, int), (vector["id"], key)
                    off = excess(output, got, UNIT[dtype]).max()
                    assert off < 0.5, (vector["id"], f, off)
                    seen += 1
    assert seen > 400


@pytest.mark.oracle
@pytest.mark.parametrize("name", FAMILY)
def test_every_exhibit_is_told_apart_by_a_vector_of_each_of_its_families(name):
    seen = {exhibit for vector in vectors(name) for exhibit in vector["wrong"]}
    assert seen == {exhibit for exhibit, family in WRONG if family == name}


@pytest.mark.oracle
@pytest.mark.parametrize(
    "name", ["sde_marginal", "bits_per_dim", "hutchinson", "samples"]
)
def test_vectors_are_built_again_as_they_are(name):
    (document,) = documents(family=name)
    assert build(FAMILY[name]) == document


def test_an_id_stands_once_in_the_museum():
    assert len({e.id for e in EXHIBITS}) == len(EXHIBITS)
    (bug,) = (e for e in EXHIBITS if e.id == "IDX-13")
    assert {"add_noise", "img2img_sampler"} <= {*bug.families}


CONVENTIONS = [
    (e.id, name)
    for e in EXHIBITS
    for name in e.families
    if e.grade == "convention" and name in FAMILY
]


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("convention, name", CONVENTIONS)
def test_a_convention_passes_where_it_is_declared_and_only_there(
    convention, name, dtype
):
    m, seen = Machine(dtype), 0
    for vector in vectors(name):
        if convention in vector.get("accept", {}):
            got = WRONG[convention, name](problem(vector, m), m)
            assert within(vector["accept"][convention], got, UNIT[dtype]), vector["id"]
            assert not within(vector["outputs"], got, UNIT["float64"])
            seen += 1
    assert seen


def vp_sigmas(p):
    """Noise over signal at the visited times of a problem, then 0."""
    sched = models.schedule_of(p["schedule"])
    t = 1 + np.array(p["timesteps"])
    return [*(sched.noise[t] / sched.signal[t]), 0.0]


@pytest.mark.identity
def test_the_sampler_of_solver_type_heun_is_its_step_again_and_again():
    for vector in vectors("dpmpp_2m_sampler"):
        p, seen = problem(vector), []
        q, x = {"sigmas": vp_sigmas(p), "scaling": "vp", "target": p["target"]}, p["x"]
        for index, k in enumerate(p["timesteps"]):
            q |= {"index": index, "x": x, "output": p["model"](x, k)}
            q |= {"history": seen[-1:]}
            seen.append((x, q["output"]))
            inner = 0 < index < len(p["timesteps"]) - 1
            step = (
                WRONG["solver_type=heun", "dpmpp_2m"] if inner else reference.dpmpp_2m
            )
            x = answered({"outputs": ["x"]}, step(q, M) if inner else step(q))
            x = next(iter(x.values()))
        whole = WRONG["solver_type=heun", "dpmpp_2m_sampler"](problem(vector, M), M)
        assert x == pytest.approx(whole["x0"], abs=1e-8)


# The laws of whole samplers


def law(sampler, p, N):
    """Mean and variance of a sampler's output on N(1.5, 0.25)."""
    p = {"start": 1.0, "target": "eps", "law": ONE} | p
    numbers = {k: M.number(v) for k, v in p.items()}
    found = law_of(sampler)({**numbers, "z": np.zeros((N, 1, 1))}, M)
    return found["mean"][0], found["cov"][0, 0]


def fifty(spacing):
    times = timesteps_of(1000, 50, spacing)
    settings = {"eta": 0.0, "variance": "small"}
    return {"schedule": laws_vp.LINEAR, "timesteps": times, **settings}


@pytest.mark.law
@pytest.mark.parametrize(
    "spacing, var", [("trailing", 0.2222), ("leading", 0.2232), ("linspace", 0.2227)]
)
def test_fifty_steps_of_ddim_have_the_museums_variance(spacing, var):
    assert law(laws_vp.ddim, fifty(spacing), 50)[1] == pytest.approx(var, abs=5e-5)


@pytest.mark.law
def test_ancestral_sampling_and_heun_have_the_museums_laws():
    ancestral = law(laws_vp.ddpm, fifty("trailing"), 50)
    assert ancestral == pytest.approx((1.500, 0.1972), abs=5e-5)
    heun = {"sigmas": laws_sigma.karras(18), "scaling": "ve", "start": 80.0}
    assert law(laws_sigma.heun, heun, 18) == pytest.approx(
        (1.490107, 0.278388), abs=1e-6
    )


@pytest.mark.control
def test_bugs_of_whole_samplers_have_the_museums_laws():
    """IDX-03 0.223199 -> 0.223355; IDX-05 0.21, 0.874; STP-01 1.3576, 1.2907."""
    first = WRONG["final_alpha_bar=first", "ddim_sampler"]
    assert law(laws_vp.ddim, fifty("leading"), 50)[1] == pytest.approx(
        0.223199, abs=1e-6
    )
    assert law(first, fifty("leading"), 50)[1] == pytest.approx(0.223355, abs=1e-6)
    beside = law(WRONG["IDX-05", "ddpm_sampler"], fifty("trailing"), 50)
    assert beside == pytest.approx((0.21, 0.874), abs=5e-4)
    heun = {"sigmas": laws_sigma.karras(18), "scaling": "ve", "start": 80.0}
    stale = WRONG["STP-01", "heun_sampler"]
    v_law = law(stale, heun | {"target": "v"}, 18)
    assert v_law == pytest.approx((1.3576, 1.2907), abs=1e-4)
    with pytest.raises(ValueError, match="hidden"):
        law(stale, heun, 18)


@pytest.mark.control
def test_the_stationary_variance_of_langevin_and_of_sgld_without_the_root():
    """On N(0, 1) with lr = 2 tau = 0.01: 1/(1 - lr/4) = 1.0025, and lr times less (SDE-04)."""
    unit = {"weights": [1.0], "means": [[0.0]], "covs": [[[0.75]]]}
    p = {"tau": 0.005, "sigma": 0.5, "target": "score", "law": unit}

    def stationary(sampler):
        from_0, from_1 = (law(sampler, p | {"start": s}, 1)[1] for s in (0.0, 1.0))
        return from_0 / (1 - (from_1 - from_0))

    assert stationary(laws_sigma.langevin) == pytest.approx(1 / (1 - 0.0025), abs=1e-12)
    assert stationary(WRONG["SDE-04", "langevin_sampler"]) == pytest.approx(
        0.010025, abs=1e-6
    )


@pytest.mark.control
def test_half_a_sigma_slope_ruins_the_probability_flow():
    """SDE-01: variance 76 and mean 1.41, for 0.250 and 1.495."""
    vp = sdes.SDES["vp"]

    def end(drift):
        def rates(t):
            unit = np.array([[1.0], [0.0]])
            p = {"sde": vp, "t": t, "x": unit, "score": unit[::-1]}
            return drift(p, M)["drift"][:, 0]

        def slope(t, y):
            (a, b), (s, n) = rates(t), sdes.marginal(vp, t, M)
            S = s * s * 0.25 + n * n
            return [a * y[0] - b * (y[0] - s * 1.5) / S, 2 * (a - b / S) * y[1]]

        return solve_ivp(slope, (1.0, 1e-9), [0.0, 1.0], rtol=1e-9, atol=1e-9).y[:, -1]

    assert end(FAMILY["flow_drift"].truth) == pytest.approx((1.495, 0.250), abs=5e-4)
    mean, var = end(WRONG["SDE-01", "flow_drift"])
    assert mean == pytest.approx(1.41, abs=5e-3)
    assert var == pytest.approx(76, abs=0.5)


def chain_of(name, p):
    """The sampler of a problem as a table of refdiff."""
    if "schedule" in p:
        sched = models.schedule_of(p["schedule"]).respace(
            1 + np.array(p["timesteps"][::-1])
        )
        step = ddpm.ddpm_step_beta if p.get("variance") == "large" else ddpm.ddpm_step
        return (
            ddim.ddim_chain(sched, p["eta"])
            if "eta" in p
            else ddpm.ddpm_chain(sched, step)
        )
    if "times" in p:
        process = functools.partial(reversal.reverse, models.sde_of(p))
        return sde_solvers.chain(
            sde_solvers.euler_maruyama_step, process, np.array(p["times"])
        )
    if name == "heun_sampler":
        return edm.edm_chain(sde.edm(p["sigmas"][0]), np.array(p["sigmas"]))
    predictor = predictors.ve_predictor(np.array(p["sigmas"][::-1]))
    return predictors.pc_chain(predictor, p["corrections"], p["size"])


@pytest.mark.law
@pytest.mark.parametrize(
    "name",
    [
        "ddim_sampler",
        "ddpm_sampler",
        "heun_sampler",
        "pc_sampler",
        "reverse_sde_sampler",
    ],
)
def test_published_laws_are_those_of_refdiffs_tables(name):
    published = [vector for vector in vectors(name) if "law" in vector]
    assert len(published) >= 2
    for vector in published:
        p, (mean, cov) = vector["problem"], (vector["law"][k] for k in ("mean", "cov"))
        data = p["law"]["means"][0], p["law"]["covs"][0]
        start = np.zeros(2), p["start"] ** 2 * np.eye(2)
        means, covs = chain_of(name, p).law(*map(np.array, data), *start)
        assert np.array(mean, float) == pytest.approx(means[-1], rel=1e-9)
        assert np.array(cov, float) == pytest.approx(covs[-1], rel=1e-9)


@pytest.mark.limit
def test_deterministic_samplers_on_fine_grids_come_to_one_place():
    """Euler in sigma and DPM-Solver++(2M) in log SNR solve one flow, in two scalings."""
    times = timesteps_of(1000, 500, "trailing")
    p = {"schedule": laws_vp.LINEAR, "timesteps": times, "target": "x0"}
    p = {k: M.number(v) for k, v in p.items()} | {"law": mixtures.MIXTURE}
    levels = laws_vp.levels_of(p, M)
    sigmas = [noise / signal for signal, noise in levels]
    x = M.number(laws_vp.given(1)["x"])
    multistep = laws_vp.dpmpp_2m({**p, "x": x}, M)["x0"]
    q = {**p, "sigmas": np.array(sigmas), "scaling": "ve", "x": x / levels[0][0]}
    assert laws_sigma.heun(q, M)["x0"] == pytest.approx(multistep, abs=1e-3)
    assert laws_sigma.euler(q, M)["x0"] == pytest.approx(multistep, abs=3e-2)


# The model that the check evaluates


@pytest.mark.oracle
def test_the_model_of_the_check_agrees_with_50_digits():
    for module in SAMPLERS:
        for family in module.FAMILIES:
            for vector in vectors(family.name):
                p = vector["problem"]
                x = np.array([[1.25, -0.625], [-0.4375, 2.125]])
                told, (signal, noise) = first_level(p)
                want = mixtures.output(p, EXACT.number(x), signal, noise, EXACT)
                want = want.astype(float)
                got = models.model(p)(x, told)
                assert got == pytest.approx(want, abs=1e-12 * np.abs(want).max())


def first_level(p):
    """The first number that a model is told, and its level at 50 digits."""
    if p["time"] == "k":
        return p["timesteps"][0], laws_vp.levels_of(p, EXACT)[0]
    if p["time"] == "t":
        t = p["times"][0]
        return t, sdes.marginal(p["sde"], EXACT.number(t), EXACT)
    s = p["sigmas"][0] if "sigmas" in p else p["sigma"]
    sigma, flow = EXACT.number(float(s)), p.get("scaling") == "flow"
    return s, (1 - sigma if flow else EXACT.number(1.0), sigma)


@pytest.mark.parametrize("k", [500.1, -1, 1000])
def test_a_model_that_is_told_what_is_no_k_refuses(k):
    p = vectors("ddim_sampler")[0]["problem"]
    with pytest.raises(ValueError, match="told k"):
        models.model(p)(np.zeros((1, 2)), k)


def test_a_model_is_told_one_time_for_all_rows():
    p = vectors("ddim_sampler")[0]["problem"]
    at = models.model(p)
    x = np.ones((2, 2))
    assert (at(x, np.array([7, 7])) == at(x, 7)).all()
    with pytest.raises(ValueError, match="one t"):
        at(x, np.array([7, 8]))


# Orders of convergence


@pytest.mark.oracle
def test_the_end_points_are_those_of_an_adaptive_solver():
    (p,) = [vectors("euler_order")[0]]
    q, law_ = p["problem"], models.law_of(p["problem"])

    def slope(x, sigma):
        return -sigma * law_.noised(1.0, sigma).score(x)

    x = np.array(p["inputs"]["x"])
    end = ode.reference_flow(slope, x, np.array([q["sigma_max"], q["sigma_min"]]))[-1]
    exact = np.array(p["outputs"]["x"]["value"], float)
    assert end == pytest.approx(exact, abs=1e-9)


def at_the_end(p, m, grid):
    """DPM-Solver-2 with r = 1: the trapezoid rule, in sigma."""
    x = p["x"]
    for now, then in orders.pairs(grid, m):
        d = orders.say(p, m, x, now)[1]
        d_2 = orders.say(p, m, x + (then - now) * d, then)[1]
        x = x + (then - now) * (d + d_2) / 2
    return x


def by_slopes(p, m, grid):
    """(2M) with the line's exact integral: x0_hat + slope lam from 0 to h, by parts."""
    x, before = p["x"], None
    for now, then in orders.pairs(grid, m):
        x0, lam = orders.say(p, m, x, now)[0], -m.log(now)
        slope = 0 if before is None else (x0 - before[0]) / (lam - before[1])
        h, q = m.log(now / then), then / now
        x, before = q * x + (1 - q) * x0 + (h - (1 - q)) * slope, (x0, lam)
    return x


LEAST = {"dpm_solver_2_order": at_the_end, "dpmpp_2m_order": by_slopes}


@pytest.mark.order
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", orders.SOLVERS)
def test_solvers_have_their_order_and_no_more_error_than_is_near_the_bound(name, dtype):
    m, unit = Machine(dtype), UNIT[dtype]
    for vector in vectors(name):
        got = orders.method(orders.SOLVERS[name][0])(problem(vector, m), m)["x"]
        output = vector["outputs"]["x"]
        assert got.dtype == m.dtype
        assert within(vector["outputs"], {"x": got}, unit)
        least = LEAST.get(name, orders.SOLVERS[name][0])
        worst = orders.method(least)(problem(vector, m), m)["x"]
        assert within(vector["outputs"], {"x": worst}, unit)
        assert 0.6 < end_errors(output, worst)[-1] / output["bound"] < 0.7
        if dtype == "float64":  # float32 leaves too few digits to measure a slope
            assert observed_order(output, got, unit) > output["order"] - 0.05


@pytest.mark.control
def test_a_first_order_step_is_seen_under_any_other_name():
    for name in orders.SOLVERS:
        if name != "euler_order":
            vector = vectors(name)[0]
            wrong = WRONG["SYN-order-1", name](problem(vector, M), M)
            output = vector["outputs"]["x"]
            assert observed_order(output, wrong["x"], UNIT["float64"]) < 1.2
            assert not within(vector["outputs"], wrong, UNIT["float64"])


@pytest.mark.control
@pytest.mark.parametrize("power", [0.0, 0.5, 2.0])
def test_uneven_steps_see_whether_the_ratio_of_two_steps_is_right(power):
    """h / h_last to another power: 1 in any case on an even grid."""

    def solver(p, m, grid):
        x, last, h_last = p["x"], None, None
        for now, then in orders.pairs(grid, m):
            h, x0 = m.log(now / then), orders.say(p, m, x, now)[0]
            moved = 0 if last is None else (h / h_last) ** power * (x0 - last) / 2
            x = then / now * x + (1 - then / now) * (x0 + moved)
            last, h_last = x0, h
        return x

    for vector in vectors("dpmpp_2m_order"):
        got = orders.method(solver)(problem(vector, M), M)
        seen = not within(vector["outputs"], got, UNIT["float64"])
        assert seen == ("uneven" in vector["id"])


# Processes in continuous time


@pytest.mark.identity
@pytest.mark.parametrize("name", sdes.SDES)
def test_marginals_solve_the_moment_equations_of_the_coefficients(name):
    """signal' = a signal and (noise^2)' = 2 a noise^2 + g^2, by differences at 50 digits."""
    process, h = sdes.SDES[name], EXACT.number(1e-14)
    for t in map(EXACT.number, sdes.TIMES[2:]):
        (s0, n0), (s1, n1) = (sdes.marginal(process, t + d, EXACT) for d in (-h, h))
        s, n = sdes.marginal(process, t, EXACT)
        a, g2 = sdes.coefficients(process, t, EXACT)
        assert float(abs((s1 - s0) / (2 * h) - a * s)) < 1e-22
        rate = (n1 * n1 - n0 * n0) / (2 * h)
        assert float(abs(rate - 2 * a * n * n - g2) / g2) < 1e-20


@pytest.mark.control
def test_sigma_of_t_is_not_the_diffusion_of_ve():
    """SDE-02: g^2 = d sigma^2/dt has 2 log(sigma_max / sigma_min), 17.03 here."""
    vector = next(v for v in vectors("sde_coefficients") if v["id"].endswith("/ve"))
    right = np.array(vector["outputs"]["g2"]["value"], float)
    wrong = np.array(vector["wrong"]["SDE-02"]["g2"])
    assert right / wrong == pytest.approx(np.full(len(right), 2 * np.log(5000)))


def test_labels_are_integers_and_the_unrounded_ones_are_not():
    for vector in vectors("time_label"):
        right, wrong = (
            vector["outputs"]["label"]["value"],
            vector["wrong"]["SDE-11"]["label"],
        )
        assert all(isinstance(k, int) for k in right)
        assert np.abs(np.array(right) - wrong).max() < 0.5
    assert 500 in vectors("time_label")[0]["outputs"]["label"]["value"]


# Likelihoods


def grid_density(f, half_width, **p):
    """Integral over the plane of exp(log_p), by the trapezoid rule."""
    axis, h = np.linspace(-half_width, half_width, 161, retstep=True)
    x = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    log_p = np.asarray(f({**p, "x": x}, M)["log_p"])
    return np.exp(log_p).sum() * h * h


@pytest.mark.identity
@pytest.mark.parametrize("name", ["vp", "vp-slow", "sub-vp"])
def test_the_density_of_the_flow_integrates_to_one(name):
    p = {"sde": sdes.SDES[name], "law": mixtures.GAUSSIAN, "prior_std": 1.0}
    p |= {"t_0": 0.0, "t_T": 1.0}
    total = grid_density(FAMILY["gaussian_flow_loglik"].truth, 9.0, **p)
    assert total == pytest.approx(1, abs=1e-10)
    for wrong in ("SYN-no-log-det", "SYN-trace-sign", "SYN-trace-half"):
        off = grid_density(WRONG[wrong, "gaussian_flow_loglik"], 9.0, **p)
        assert abs(off - 1) > 0.2, wrong


@pytest.mark.limit
def test_with_a_prior_that_is_reached_the_flow_has_the_density_of_the_data():
    """At signal e^-25 the law of x_T is the prior."""
    steep = {"kind": "vp", "beta_min": 0.1, "beta_max": 99.9}
    p = {"sde": steep, "law": mixtures.GAUSSIAN, "prior_std": 1.0}
    x = np.array(likelihood.POINTS)
    got = likelihood.flow_loglik({**p, "t_0": 0.0, "t_T": 1.0, "x": x}, M)["log_p"]
    want = mixture.Mixture(*(np.array(v) for v in mixtures.GAUSSIAN.values())).logpdf(x)
    assert got == pytest.approx(want, abs=1e-9)


@pytest.mark.identity
def test_without_noise_at_0_ve_carries_the_law_of_the_data():
    """ve_noise=from_zero: log p - log N(x_T) is the ratio of the laws' own densities."""
    name, seen = "ve_noise=from_zero", 0
    for vector in vectors("gaussian_flow_loglik"):
        if name in vector.get("accept", {}) and vector["problem"]["t_0"] == 0:
            p, got = problem(vector), vector["accept"][name]
            x_T, log_p = (np.array(got[k]["value"], float) for k in ("x_T", "log_p"))
            noise2 = 1e-4 * (5000 ** (2 * p["t_T"]) - 1)
            mean, cov = p["law"]["means"][0], np.array(p["law"]["covs"][0])
            data = multivariate_normal(mean, cov).logpdf(p["x"])
            ends = multivariate_normal(mean, cov + noise2 * np.eye(2)).logpdf(x_T)
            prior = multivariate_normal([0, 0], p["prior_std"] ** 2).logpdf(x_T)
            assert log_p - prior == pytest.approx(data - ends, abs=1e-9)
            seen += 1
    assert seen == 2


@pytest.mark.identity
def test_probes_along_the_axes_give_the_trace():
    """v = sqrt(d) e_i for each i: the mean is the trace; the sum is d times that (LIK-01)."""
    J = np.array([[1.25, -0.5, 2.0], [0.75, -3.0, 0.0], [1.0, 0.25, 0.5]])
    p = {"J": J, "probes": np.sqrt(3) * np.eye(3)}
    assert likelihood.hutchinson(p, M)["trace"] == pytest.approx(-1.25, abs=1e-14)
    assert WRONG["LIK-01", "hutchinson"](p, M)["trace"] == pytest.approx(
        -3.75, abs=1e-14
    )


@pytest.mark.control
def test_one_probe_hides_the_sum():
    for vector in vectors("hutchinson"):
        one = len(vector["inputs"]["probes"]) == 1
        assert ("LIK-01" in vector["wrong"]) != one


@pytest.mark.identity
def test_the_bound_of_a_perfect_guess_is_the_prior_and_constants():
    """eps_hat = eps, small variance: each KL is 0 and log p(x0 | x0_hat) its largest."""
    vector = next(v for v in vectors("elbo_terms") if v["id"].endswith("T5/small"))
    p = problem(vector, M)
    terms = likelihood.elbo_terms({**p, "eps_hat": p["eps"]}, M)
    assert np.abs(terms["kl"]).max() < 1e-14
    beta = vector["problem"]["schedule"]["beta_1"]
    assert terms["reconstruction"] == pytest.approx(
        np.full(3, -np.log(2 * np.pi * beta))
    )
    sched = schedule.linear(5, 0.0625, 0.5)
    ab, x0 = sched.alpha_bar[-1], np.array(vector["inputs"]["x0"])
    want = ((ab * x0**2 - ab - np.log1p(-ab)) / 2).sum(axis=1)
    assert terms["prior_kl"] == pytest.approx(want, rel=1e-13)


@pytest.mark.control
def test_a_lost_half_of_d_is_seen_where_d_is_not_two():
    for vector in vectors("elbo_terms"):
        p = problem(vector, M)
        terms, d = likelihood.elbo_terms(p, M), p["x0"].shape[1]
        beta_0 = vector["problem"]["schedule"]["beta_1"]
        lost = (1 - d / 2) * np.log(2 * np.pi * beta_0)
        both = {k: terms[k] - lost for k in ("reconstruction", "elbo")}
        agrees = within(vector["outputs"], terms | both, UNIT["float64"])
        assert agrees == (d == 2)


@pytest.mark.identity
def test_bits_do_not_depend_on_the_scale_but_a_fixed_offset_does():
    """x -> 2 x - 1 takes d log 2 from log_p and doubles the width (LIK-07)."""
    wrong = WRONG["LIK-07", "bits_per_dim"]

    def both(levels):
        d, log_p = 12, np.array([-31.5, 40.0])
        p = {"levels": levels, "d": d, "low": 0.0, "high": 1.0, "log_p": log_p}
        scaled = p | {"low": -1.0, "log_p": log_p - d * np.log(2)}
        return [
            [f(q, M)["bits"] for q in (p, scaled)] for f in (likelihood.bits, wrong)
        ]

    for levels in (256, 32):
        (a, b), (fixed, _) = both(levels)
        assert a == pytest.approx(b, abs=1e-13)
        assert (fixed - a == pytest.approx(0, abs=1e-13)) == (levels == 256)


# Samples


def sampled(vector, seed, law_):
    x = law_.sample(vector["problem"]["n"], np.random.default_rng(seed))
    return within(vector["outputs"], {"samples": x}, UNIT["float64"])


@pytest.mark.law
@pytest.mark.parametrize("vector", vectors("samples"), ids=lambda vector: vector["id"])
def test_exact_samples_pass_and_those_of_another_law_do_not(vector):
    law_ = models.law_of(vector["problem"])
    equal = mixture.Mixture(np.full(3, 1 / 3), law_.means, law_.covs)
    assert all(sampled(vector, seed, law_) for seed in range(10))
    assert not sampled(vector, 0, law_.noised(1.0, 1.0))
    assert sampled(vector, 0, equal) == ("hill" in vector["id"])


@pytest.mark.control
@pytest.mark.parametrize(("sigma", "seen"), [(1.0, True), (0.1, False)])
def test_a_last_step_from_a_large_sigma_is_seen_in_one_hill(sigma, seen):
    """What ends with E[x0 | x] at sigma has lost the spread of x0 about it."""
    vector = vectors("samples")[1]
    law_, rng = models.law_of(vector["problem"]), np.random.default_rng(0)
    noised = law_.noised(1.0, sigma)
    x = noised.sample(vector["problem"]["n"], rng)
    ends = x + sigma**2 * noised.score(x)
    assert within(vector["outputs"], {"samples": ends}, UNIT["float64"]) != seen


@pytest.mark.law
def test_expected_statistics_are_those_of_many_samples():
    vector = vectors("samples")[0]
    mean, std = np.array(vector["outputs"]["samples"]["value"], float)
    law_ = models.law_of(vector["problem"])
    assert mean[:2] == pytest.approx(law_.mean)
    assert mean[2:6] == pytest.approx(law_.cov.ravel())
    x = law_.sample(400_000, np.random.default_rng(1)) - law_.mean
    second = (x[:, :, None] * x[:, None]).reshape(-1, 4)
    assert std[2:6] == pytest.approx(second.std(axis=0), rel=0.01)


def test_the_guide_of_the_wrong_steps_is_right_without_its_bug():
    """A museum's sampler with nothing changed is the truth's."""
    vector = vectors("ddim_sampler")[0]
    p = problem(vector, M)
    same = wrong_laws.vp(laws_vp.ddim_step)(p, M)["x0"]
    assert (same == laws_vp.ddim(p, M)["x0"]).all()
