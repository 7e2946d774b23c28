"""The oracle's losses, network and Adam step, by facts that no formula here shares."""

import functools

import mpmath
import numpy as np
import pytest

from refdiff.oracle import reference
from refdiff.oracle.adapter import InProcess
from refdiff.oracle.build import build
from refdiff.oracle.check import check
from refdiff.oracle.museum import descent
from refdiff.oracle.museum import losses as wrong
from refdiff.oracle.truth import losses, network
from refdiff.oracle.truth.arithmetic import Exact

FAMILIES = {family.name: family for family in losses.FAMILIES}
document = functools.cache(lambda name: build(FAMILIES[name]))


def asked(name, k=0):
    """One problem of a family in 50-digit arithmetic."""
    m, case = Exact(), list(FAMILIES[name].cases(False))[k]
    return {key: m.number(v) for key, v in (case.problem | case.inputs).items()}, m


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["denoising_loss", "score_matching_loss", "flow_loss"])
def test_gradients_are_differences_of_the_loss(name):
    p, m = asked(name)
    found = FAMILIES[name].truth(p, m)
    h = mpmath.mpf(10) ** -12
    for key, place in (("W0", (2, 1)), ("b1", (0,)), ("W2", (1, 1))):
        ends = []
        for sign in (1, -1):
            moved = p[key].copy()
            moved[place] += sign * h
            ends.append(FAMILIES[name].truth({**p, key: moved}, m)["loss"])
        numeric = (ends[0] - ends[1]) / (2 * h)
        assert abs(numeric - found[key][place]) < 1e-20 * abs(numeric) + 1e-20


@pytest.mark.limit
def test_the_unit_is_a_line_far_out_and_halves_at_the_origin():
    m = Exact()
    x = m.number([-200.0, 0.0, 200.0])
    assert np.abs(network.silu(x, m) - m.number([0.0, 0.0, 200.0])).max() < 1e-80
    assert np.abs(network.slope(x, m) - m.number([0.0, 0.5, 1.0])).max() < 1e-80


@pytest.mark.limit
def test_the_first_step_of_adam_has_one_length():
    """From empty moments m_hat = g and v_hat = g^2, so the step is lr sign(g)."""
    p, m = asked("adam_step")
    moved = (
        losses.adam_step({**p, "adam_eps": m.number(0.0)}, m)["params"] - p["params"]
    )
    signs = np.sign(np.array(p["grad"], float))
    assert np.abs(moved + p["lr"] * signs).max() < 1e-50


@pytest.mark.identity
def test_the_simple_loss_vanishes_where_the_network_is_right():
    """Weights of 0 and a bias that is the target of every row: no loss, no gradient."""
    p, m = asked("flow_loss")
    zero = {k: p[k] * 0 for k in ("W0", "b0", "W1", "b1", "W2")}
    still = {"x0": p["x0"] * 0, "eps": p["x0"] * 0 + 1, "b2": p["b2"] * 0 + 1}
    found = losses.loss_by(losses.flow)({**p, **zero, **still}, m)
    assert all(not np.any(value) for value in found.values())


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_refdiff_agrees_with_every_vector(dtype):
    report = check(InProcess(reference), [document(n) for n in FAMILIES], dtype)
    if dtype == "float64":
        assert [v.status for v in report.verdicts] == ["agrees"] * len(FAMILIES)
    network_alone = [v for v in report.verdicts if v.family in ("mlp", "flow_loss")]
    assert {v.status for v in network_alone} == {"agrees"}


@pytest.mark.control
@pytest.mark.parametrize(
    "exhibit", [*wrong.EXHIBITS, *descent.EXHIBITS], ids=lambda e: e.id
)
def test_every_wrong_form_is_told_apart(exhibit):
    for family in exhibit.families:
        seen = [v["wrong"] | v.get("accept", {}) for v in document(family)["vectors"]]
        assert any(exhibit.id in one for one in seen), family
