"""The oracle's tables, grids and weights: facts from elsewhere, and every known bug."""

import functools
import math

import numpy as np
import pytest

from refdiff.oracle import reference
from refdiff.oracle.build import build
from refdiff.oracle.judge import within
from refdiff.oracle.museum import (
    flow_grids,
    grids,
    lookups,
    precondition,
    schedules,
    tables,
    timesteps,
    weights,
)
from refdiff.oracle.truth import flow_grids as true_flow
from refdiff.oracle.truth import grids as true_grids
from refdiff.oracle.truth import tables as true_tables
from refdiff.oracle.truth import timesteps as true_timesteps
from refdiff.oracle.truth import weights as true_weights
from refdiff.oracle.truth.arithmetic import UNIT, Exact
from refdiff.oracle.truth.schedules import timesteps_of
from refdiff.oracle.vector import documents

TRUTHS = (true_tables, true_timesteps, true_grids, true_flow, true_weights)
FAMILIES = {f.name: f for truth in TRUTHS for f in truth.FAMILIES}
MUSEUM = (
    schedules,
    tables,
    timesteps,
    lookups,
    grids,
    flow_grids,
    weights,
    precondition,
)
EXHIBITS = {e.id: e for room in MUSEUM for e in room.EXHIBITS}
EXACT = Exact()
LINEAR, SCALED = true_tables.LINEAR, true_tables.SCALED
COSINE = true_tables.SCHEDULES["cosine-T1000"]


@functools.cache
def shipped(name):
    """The vectors of a family as they are shipped."""
    (document,) = documents(family=name)
    return document["vectors"]


def valid(name):
    return [v for v in shipped(name) if v["result"] == "valid"]


def told(answer, p):
    """A form's answer to a problem at 50 digits, as floats; one output alone."""
    numbers = {k: EXACT.number(v) for k, v in p.items()}
    (value,) = answer(numbers, EXACT).values()
    return np.array([float(v) for v in value])


def true(name, **p):
    return told(FAMILIES[name].truth, p)


def wrong(id, name, **p):
    return told(EXHIBITS[id].families[name], p)


def answered(adapter, vector):
    """An adapter's answer to a vector, {output: array}."""
    name = vector["id"].split("/")[0]
    arrays = {k: np.array(v) for k, v in vector["inputs"].items()}
    answer = getattr(adapter, name)(vector["problem"] | arrays)
    return (
        answer if isinstance(answer, dict) else {next(iter(vector["outputs"])): answer}
    )


@pytest.mark.oracle
@pytest.mark.parametrize("name", FAMILIES)
def test_refdiff_passes_every_vector(name):
    failed = [
        v["id"]
        for v in valid(name)
        if not within(v["outputs"], answered(reference, v), UNIT["float64"])
    ]
    assert failed == []


@pytest.mark.oracle
def test_refdiff_refuses_what_has_no_answer():
    refusals = [v for n in FAMILIES for v in shipped(n) if v["result"] == "must-refuse"]
    assert len(refusals) == 8
    for vector in refusals:
        with pytest.raises(ValueError, match=r"N must be|not finite"):
            answered(reference, vector)


SHORT = {  # what is quickly built again
    "timesteps": 38,
    "lcm_timesteps": 24,
    "step_index": 6,
    "quadratic_times": 18,
    "karras_log_snr": 4,
    "vp_sigmas": 14,
    "logit_normal_weight": 6,
    "edm_precondition": 6,
    "edm_weight": 6,
}


@pytest.mark.parametrize("name", SHORT)
def test_the_shipped_vectors_are_those_that_are_built(name):
    (document,) = documents(family=name)
    assert build(FAMILIES[name])["vectors"] == document["vectors"]
    assert len(document["vectors"]) == SHORT[name]


@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in SHORT])
def test_short_tables_are_built_again_with_the_same_digits(name):
    """All but kappa, whose noise goes on from case to case."""
    family = FAMILIES[name]
    few = [c for c in family.cases(False) if _small(c.problem)][:4]
    built = build(family._replace(cases=lambda large: few))["vectors"]
    kept = {v["id"]: v for v in shipped(name)}
    assert built or name == "sigma_timesteps"
    for vector in built:
        twin = kept[vector["id"]]
        for output, value in vector.get("outputs", {}).items():
            assert value["value"] == twin["outputs"][output]["value"]
        assert vector.get("wrong") == twin.get("wrong")


def _small(problem):
    return problem.get("schedule", problem).get("T", 0) <= 2 or problem.get("N") == 2


@pytest.mark.parametrize("id", EXHIBITS)
def test_every_bug_is_told_apart_in_each_family_that_it_spoils(id):
    for name in EXHIBITS[id].families:
        assert any(id in v["wrong"] for v in valid(name)), name


def test_no_bug_stands_twice():
    assert len(EXHIBITS) == sum(len(room.EXHIBITS) for room in MUSEUM)


# Facts from elsewhere


def test_the_tables_end_where_published_models_do():
    """The last alpha_bar of Ho20; the sigmas of Stable Diffusion, printed from float32."""
    assert true("alpha_bar", schedule=LINEAR, k=[999])[0] == pytest.approx(
        4.0358e-5, 1e-4
    )
    ends = true("sigmas", schedule=SCALED, timesteps=[999, 0])
    assert ends == pytest.approx([14.614642, 0.0291675, 0.0], rel=2e-5)


def test_a_rescaled_table_ends_at_zero_and_keeps_its_first_entry():
    """Lin24: sqrt(alpha_bar) is moved by an affine map, so its second ratios stay."""
    rescaled = {**SCALED, "zero_snr": True}
    k = [0, 333, 666, 999]
    before, after = (
        np.sqrt(true("alpha_bar", schedule=s, k=k)) for s in (SCALED, rescaled)
    )
    assert after[-1] == 0
    assert after[0] == pytest.approx(before[0], rel=1e-15)
    steps = np.diff(before), np.diff(after)
    assert steps[0] / steps[0][0] == pytest.approx(steps[1] / steps[1][0], rel=1e-12)


@pytest.mark.parametrize("name", ["linear-T1000", "cosine-T137", "sigmoid-T137"])
def test_the_tables_of_one_schedule_agree_with_each_other(name):
    schedule = true_tables.SCHEDULES[name]
    p = {"schedule": schedule, "k": list(range(schedule["T"]))}
    bar, prev = true("alpha_bar", **p), true("alpha_bar_prev", **p)
    assert bar == pytest.approx(prev * (1 - true("beta", **p)), rel=1e-12)
    snr, noise = true("snr", **p), true("noise_std", **p)
    assert noise**2 * (1 + snr) == pytest.approx(np.ones(len(bar)), rel=1e-12)
    assert np.exp(true("log_snr", **p)) == pytest.approx(snr, rel=1e-12)


def test_spacings_reproduce_published_lists():
    """Lin24 Table 2, T = 1000 and 10 steps, whose t is k + 1."""
    published = {
        "leading": list(range(901, 0, -100)),
        "trailing": list(range(1000, 99, -100)),
        "linspace": [1000, 889, 778, 667, 556, 445, 334, 223, 112, 1],
    }
    for spacing, t in published.items():
        assert [k + 1 for k in timesteps_of(1000, 10, spacing)] == t


def test_no_rounding_of_a_half_that_floats_may_miss_is_asked():
    """137 (1 - 13/26) = 68.5, but not in floats; so NumPy's own lists are the truth."""
    assert true_timesteps.fragile(137, 26, "trailing")
    assert true_timesteps.fragile(1000, 26, "linspace")
    assert not true_timesteps.fragile(1000, 7, "linspace")  # steps of 166.5
    for vector in valid("timesteps"):
        T, N, spacing = (vector["problem"][k] for k in ("T", "N", "spacing"))
        assert not true_timesteps.fragile(T, N, spacing)
        if spacing == "trailing":
            t = np.arange(T, 0, -T / N).round().astype(int)
            assert [k + 1 for k in timesteps_of(T, N, spacing)] == t.tolist()
        if spacing == "linspace":
            more = np.linspace(0, T - 1, N + 1).round().astype(int)[:0:-1].tolist()
            assert vector["wrong"]["timesteps_points=N+1"] == {"timesteps": more}


def test_shifts_of_a_flow_compose():
    s = EXACT.number([0.125, 0.5, 0.9375])
    twice = true_flow.shifted(
        true_flow.shifted(s, EXACT.number(3.0)), EXACT.number(0.5)
    )
    assert max(abs(twice - true_flow.shifted(s, EXACT.number(1.5)))) < 1e-48


def test_the_logit_normal_weight_is_a_density():
    """Its integral is 1, and its mean logit the mean: a trapezoid rule in the logit."""
    x = np.linspace(-12, 12, 4001)
    t = 1 / (1 + np.exp(-x))
    density = true("logit_normal_weight", t=t, mean=0.75, std=0.625) * t * (1 - t)
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-12)
    assert np.trapezoid(density * x, x) == pytest.approx(0.75, abs=1e-12)


@pytest.mark.parametrize("kind", ["snr", "truncated-snr", "min-snr", "elbo"])
def test_weights_of_all_targets_make_one_loss(kind):
    """||eps error||^2 = SNR ||x0 error||^2, ||v error||^2 = (SNR + 1) ||x0 error||^2."""
    p = {"schedule": LINEAR, "k": [1, 100, 500, 999], "kind": kind, "gamma": 5.0}
    x0, eps, v = (true("loss_weight", target=y, **p) for y in ("x0", "eps", "v"))
    snr = true("snr", schedule=LINEAR, k=p["k"])
    assert eps * snr == pytest.approx(x0, rel=1e-12)
    assert v * (snr + 1) == pytest.approx(x0, rel=1e-12)


def test_weights_are_finite_at_zero_snr():
    p = {"schedule": {**LINEAR, "zero_snr": True}, "k": [999], "gamma": 5.0}
    for target, limit in (("eps", 1), ("x0", 0), ("v", 0)):
        assert true("loss_weight", kind="min-snr", target=target, **p) == [limit]
    assert np.isnan(wrong("LOS-03", "loss_weight", kind="min-snr", target="eps", **p))


def test_real_times_may_be_declared_where_integers_are_asked():
    name = "timesteps/T1000/linspace/N64"
    (vector,) = [v for v in valid("timesteps") if v["id"] == name]
    accepted = vector["accept"]["timesteps_rounding=none"]
    real = {"timesteps": np.linspace(999, 0, 64, dtype=np.float32)}
    assert within(accepted, real, UNIT["float32"])
    assert not within(vector["outputs"], real, UNIT["float32"])
    assert vector["accept"]["timesteps_points=N+1"]["timesteps"]["class"] == "exact"


# The museum's own numbers


def test_cosine_from_0_has_no_noise_in_its_first_entry():
    """SCH-01: alpha_bar[0] = 1 for 0.9999587, and then divides by zero."""
    p = {"schedule": COSINE, "k": [0]}
    assert wrong("SCH-01", "alpha_bar", **p)[0] == 1.0
    assert true("alpha_bar", **p)[0] == pytest.approx(0.9999587, abs=5e-8)
    assert wrong("SCH-01", "snr", **p)[0] == math.inf


def test_the_cosine_offset_moves_alpha_bar_by_0_054():
    p = {"schedule": COSINE, "k": list(range(1000))}
    gap = np.abs(wrong("SCH-03", "alpha_bar", **p) - true("alpha_bar", **p))
    assert gap.max() == pytest.approx(0.054, abs=5e-4)


def test_variances_in_the_place_of_deviations():
    """SCH-04: the mended list runs from 100^2 down to 0.02^2 where 100 to 0.02 belongs."""
    p = {"N": 50, "sigma_min": 0.02, "sigma_max": 100.0}
    assert true("exponential_sigmas", **p)[[0, -2]] == pytest.approx([100, 0.02])
    mended = wrong("SCH-04-mended", "exponential_sigmas", **p)
    assert mended[[0, -2]] == pytest.approx([1e4, 4e-4])
    assert wrong("SCH-04", "exponential_sigmas", **p)[-2] == pytest.approx(4e-6)


def test_defaults_of_edm():
    """SCH-05 and SCH-06: the last level, and the first of VP, of wrong defaults."""
    p = {"N": 18, **true_grids.EDM}
    assert true("karras_sigmas", **p)[-2] == pytest.approx(0.002)
    assert wrong("SCH-05", "karras_sigmas", **p)[-2] == pytest.approx(0.02)
    p = {"N": 18, "beta_min": 0.1, "beta_max": 20.0, "eps": 1e-3}
    assert true("vp_sigmas", **p)[0] == pytest.approx(152.17, abs=0.01)
    assert wrong("SCH-06", "vp_sigmas", **p)[0] == pytest.approx(
        math.exp(9.65 / 2), rel=1e-4
    )


def test_a_shift_applied_twice_triples_the_last_level():
    p = {"N": 28, "T": 1000, "shift": 3.0, "grid": "to-last"}
    assert true("flow_sigmas", **p)[-2] == pytest.approx(0.00299, abs=5e-6)
    assert wrong("SCH-08", "flow_sigmas", **p)[-2] == pytest.approx(0.00893, abs=5e-6)


def test_log_snr_falls_with_time():
    t = np.linspace(0, 1, 9)
    assert (np.diff(true("karras_log_snr", t=t, **true_grids.EDM)) < 0).all()
    assert (np.diff(wrong("SCH-10", "karras_log_snr", t=t, **true_grids.EDM)) > 0).all()


def test_padding_on_the_right_makes_the_posterior_variance_beta():
    """IDX-01: beta (1 - prev) / (1 - ab) is beta itself, "fixed large"."""
    p = {"schedule": LINEAR, "k": list(range(999))}
    prev = wrong("IDX-01", "alpha_bar_prev", **p)
    assert (1 - prev) / (1 - true("alpha_bar", **p)) == pytest.approx(np.ones(999))
    assert wrong("IDX-01", "alpha_bar_prev", schedule=LINEAR, k=[999])[0] == 1


def test_a_short_list_stops_at_499():
    p = {"T": 1000, "original": 50, "N": 26}
    assert wrong("IDX-11", "lcm_timesteps", **p)[-1] == 499
    assert true("lcm_timesteps", **p)[-1] == 39


def test_rounded_times_stand_twice():
    """IDX-10 and SDE-13: what is strictly falling becomes a list with repetitions."""
    p = {"schedule": SCALED, "sigma": [0.1875, 0.1873, 0.15625, 0.125]}
    for id, name, problem in (
        ("IDX-10", "sigma_timesteps", p),
        ("SDE-13", "quadratic_times", {"N": 64, "first": 800.0, "last": 0.0}),
    ):
        assert (np.diff(true(name, **problem)) < 0).all()
        assert (np.diff(wrong(id, name, **problem)) == 0).any()


def test_the_second_match_skips_a_step():
    p = next(c for c in FAMILIES["step_index"].cases(False) if c.id == "dense/itself")
    right = true("step_index", **p.problem, **p.inputs)
    assert right.tolist() == list(range(9))
    skipped = wrong("IDX-10", "step_index", **p.problem, **p.inputs)
    assert skipped.tolist() == [0, 1, 2, 4, 4, 6, 6, 8, 8]


def test_bfloat16_rounds_as_the_threads_say():
    """NUM-02 and NUM-03."""
    values = [0.9999, 998.39, 988.49, 987.17]
    rounded = lookups.bfloat16(EXACT.number(values), EXACT)
    assert [float(v) for v in rounded] == [1, 1000, 988, 988]
    assert wrong("NUM-02", "noise_std", schedule=LINEAR, k=[0])[0] == 0
    assert wrong("NUM-02", "snr", schedule=LINEAR, k=[0])[0] == math.inf


def test_a_time_one_float_off_is_found_by_the_nearest_entry_alone():
    """NUM-04: 254.00001526 is not 254."""
    p = {"timesteps": [999.0, 254.0, 1.0], "t": [254.0000152587890625]}
    assert true("step_index", **p).tolist() == [1]
    assert wrong("NUM-04", "step_index", **p).tolist() == [-1]


def test_min_snr_of_v_is_not_bounded_by_snr_plus_1():
    """LOS-01: 1 for 0.0778 at t = 500, and the same at t = 0."""
    p = {"schedule": LINEAR, "kind": "min-snr", "target": "v", "gamma": 5.0}
    right = true("loss_weight", k=[0, 500], **p)
    assert wrong("LOS-01", "loss_weight", k=[0, 500], **p) == pytest.approx(
        [right[0], 1]
    )
    assert right[1] == pytest.approx(0.0778, abs=5e-5)


def test_precedence_costs_a_factor_of_5000_near_the_data():
    """LOS-04: against the mended form 2e-4 at t = 0, 0.96 at t = 500."""
    p = {"schedule": LINEAR, "kind": "elbo", "target": "x0", "k": [0, 500]}
    forms = [wrong(id, "loss_weight", **p) for id in ("LOS-04", "LOS-04-mended")]
    assert forms[0] / forms[1] == pytest.approx([2e-4, 0.96], rel=2e-3)


# No false alarm: the same tables as they are commonly written, in two precisions


class Plain:
    """Tables as a library writes them, every number in one precision."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype).type

    def _betas(self, s):
        T, kind = s["T"], s["kind"]
        if kind == "constant":
            return np.full(T, s["beta"], self.dtype)
        if kind == "cosine":
            return self.cosine(s, np.arange(T + 1) / T)
        first, last = self.dtype(s["beta_1"]), self.dtype(s["beta_T"])
        if kind == "scaled-linear":
            return np.linspace(first**0.5, last**0.5, T, dtype=self.dtype) ** 2
        if kind == "sigmoid":
            x = np.linspace(-6, 6, T, dtype=self.dtype)
            return 1 / (1 + np.exp(-x)) * (last - first) + first
        return np.linspace(first, last, T, dtype=self.dtype)

    def cosine(self, s, share):
        """In double precision, then rounded: as everybody does."""
        f = np.cos((share + s["s"]) / (1 + s["s"]) * np.pi / 2) ** 2
        bar = f / f[0]
        beta = np.clip(1 - bar[1:] / bar[:-1], 0, s["beta_max"])
        return beta.astype(self.dtype)

    def _bar(self, p):
        bar = np.cumprod(1 - self._betas(p["schedule"]))
        if p["schedule"].get("zero_snr"):
            root = np.sqrt(bar)
            root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
            return root**2
        return bar

    def beta(self, p):
        return self._betas(p["schedule"])[p["k"]]

    def alpha_bar(self, p):
        return self._bar(p)[p["k"]]

    def alpha_bar_prev(self, p):
        return np.append(self.dtype(1), self._bar(p)[:-1])[p["k"]]

    def noise_std(self, p):
        return np.sqrt(1 - self._bar(p))[p["k"]]

    def snr(self, p):
        bar = self._bar(p)
        return (np.sqrt(bar) / np.sqrt(1 - bar))[p["k"]] ** 2

    def log_snr(self, p):
        bar = self._bar(p)[p["k"]]
        return np.log(bar) - np.log(1 - bar)

    def zero_snr(self, p):
        bar = self._bar(p)
        alpha = np.append(bar[0], bar[1:] / bar[:-1])
        return {"alpha_bar": bar[p["k"]], "beta": (1 - alpha)[p["k"]]}

    def sigmas(self, p):
        bar = self._bar(p)[p["timesteps"]]
        return np.append(((1 - bar) / bar) ** 0.5, self.dtype(0))

    def _ramp(self, p):
        return np.linspace(0, 1, p["N"], dtype=self.dtype)

    def karras_sigmas(self, p):
        low, high = (
            self.dtype(p[k]) ** (1 / p["rho"]) for k in ("sigma_min", "sigma_max")
        )
        levels = (high + self._ramp(p) * (low - high)) ** p["rho"]
        return np.append(levels, 0).astype(self.dtype)

    def exponential_sigmas(self, p):
        ends = (self.dtype(math.log(p[k])) for k in ("sigma_max", "sigma_min"))
        levels = np.exp(np.linspace(*ends, p["N"], dtype=self.dtype))
        return np.append(levels, self.dtype(0))

    def vp_sigmas(self, p):
        t = np.linspace(1, p["eps"], p["N"], dtype=self.dtype)
        slope = p["beta_max"] - p["beta_min"]
        levels = np.sqrt(np.exp(t**2 * (slope / 2) + t * p["beta_min"]) - 1)
        return np.append(levels, self.dtype(0)).astype(self.dtype)

    def flow_sigmas(self, p):
        T, N, k = p["T"], p["N"], p["shift"]
        s = np.linspace(1, 1 / T, N, dtype=self.dtype)
        if p["grid"] == "to-zero":
            s = np.linspace(1, 0, N + 1, dtype=self.dtype)[:-1]
        return np.append(k * s / (1 + (k - 1) * s), 0).astype(self.dtype)

    def flow_times(self, p):
        return 1 - self.flow_sigmas(p)

    def flow_timesteps(self, p):
        return self.flow_sigmas(p)[:-1] * p["T"]

    def timesteps(self, p):
        T, N = p["T"], p["N"]
        if p["spacing"] == "leading":
            return (np.arange(0, N) * (T // N)).round()[::-1]
        if p["spacing"] == "trailing":
            return np.round(np.arange(T, 0, -T / N)) - 1
        return np.linspace(0, T - 1, N).round()[::-1]

    def loss_weight(self, p):
        bar = self._bar(p)
        snr = (bar / (1 - bar))[p["k"]]
        if p["kind"] == "simple":
            return np.ones_like(snr)
        if p["kind"] == "min-snr":
            weight = np.minimum(snr, self.dtype(p["gamma"]))
        else:
            full = bar / (1 - bar)
            before = np.append(self.dtype(np.inf), full[:-1])[p["k"]]
            kinds = {"snr": snr, "truncated-snr": np.maximum(snr, 1)}
            weight = kinds.get(p["kind"], (before - snr) / 2)
        if p["target"] == "eps":
            weight[snr > 0] /= snr[snr > 0]
            weight[snr == 0] = 1
        return weight / (snr + 1) if p["target"] == "v" else weight

    def edm_precondition(self, p):
        s, d = p["sigma"].astype(self.dtype), self.dtype(p["sigma_data"])
        return {
            "c_skip": d**2 / (s**2 + d**2),
            "c_out": s * d / np.sqrt(s**2 + d**2),
            "c_in": 1 / np.sqrt(d**2 + s**2),
            "c_noise": np.log(s) / 4,
        }

    def edm_weight(self, p):
        s, d = p["sigma"].astype(self.dtype), self.dtype(p["sigma_data"])
        return (s**2 + d**2) / (s * d) ** 2

    def logit_normal_weight(self, p):
        t, m, std = (np.asarray(p[k], self.dtype) for k in ("t", "mean", "std"))
        z = (np.log(t / (1 - t)) - m) / std
        norm = std * self.dtype(math.sqrt(2 * math.pi))
        return np.exp(-(z**2) / 2) / (norm * t * (1 - t))


COMMON = [name for name in FAMILIES if hasattr(Plain, name)]


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", COMMON)
def test_common_writings_pass_in_both_precisions(name, dtype):
    failed = [
        v["id"]
        for v in valid(name)
        if not within(v["outputs"], answered(Plain(dtype), v), UNIT[dtype])
    ]
    assert failed == []


def _cosine_vectors():
    vectors = [v for v in valid("alpha_bar") if "cosine" in v["id"]]
    return [v for v in vectors if "zero_snr" not in v["problem"]["schedule"]]


@pytest.mark.oracle
def test_a_cosine_over_t_plus_1_points_is_no_bug():
    """k (T + 1) / T over T + 1, as some write it, is k / T: to 1.3e-13 in beta."""
    plain = Plain("float64")
    share = np.linspace(0, 1001, 1001) / 1001
    gap = plain.cosine(COSINE, share) - plain.cosine(COSINE, np.arange(1001) / 1000)
    assert np.abs(gap).max() < 2e-13
    for vector in _cosine_vectors():
        s, k = vector["problem"]["schedule"], vector["problem"]["k"]
        share = np.linspace(0, s["T"] + 1, s["T"] + 1) / (s["T"] + 1)
        bar = np.cumprod(1 - plain.cosine(s, share))[k]
        assert within(vector["outputs"], {"alpha_bar": bar}, UNIT["float64"])


@pytest.mark.control
def test_mending_one_of_its_two_lines_is_a_bug():
    """It moves alpha_bar by 9e-4."""
    p = {"schedule": COSINE, "k": list(range(1000))}
    form = wrong("SYN-cosine-one-line", "alpha_bar", **p)
    gap = np.abs(form - true("alpha_bar", **p)).max()
    assert gap == pytest.approx(9e-4, abs=1e-4)
    for vector in _cosine_vectors():
        known = vector["wrong"]["SYN-cosine-one-line"]
        assert not within(vector["outputs"], known, UNIT["float64"])
