"""The table of orders: every claim is measured, its limit is right, and it is printed."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import orders
import pytest

from refdiff import reversal, samplers, sde, solvers
from refdiff.ode import HEUN
from refdiff.samplers import ORDERS, measured_order

README = Path(__file__).resolve().parent.parent / "README.md"
NAMES = [f"{c.method}, {c.kind}, {c.problem}" for c in ORDERS]
LIMITS = {"deterministic": 1e-1, "weak": 1e-2, "strong": 1e-2}  # the least error seen


@pytest.mark.order
@pytest.mark.parametrize("claim", ORDERS, ids=NAMES)
def test_every_claim_is_measured(claim):
    """The slope is as claimed, and the error goes to 0: the limit is the right one."""
    errors = orders.errors_of(claim)
    slopes = measured_order(errors)
    allowed = 0.15 if claim.kind == "strong" else 0.1
    assert abs(slopes - claim.order).max() < allowed, slopes
    assert errors[-1] < LIMITS[claim.kind]


@pytest.mark.order
@pytest.mark.parametrize(
    "process", [sde.ve(0.01, 50.0), sde.edm(), sde.ou(1, 1.4, 6.0)]
)
@pytest.mark.parametrize("method", ["Euler", "Heun", "DPM-Solver-3", "EDM"])
def test_orders_do_not_depend_on_the_process(process, method):
    (order,) = {c.order for c in ORDERS if c.method == method}
    errors = orders.flow_errors(method, process, halvings=(128, 256, 512))
    assert abs(measured_order(errors) - order).max() < 0.1


@pytest.mark.control
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_factor_of_the_score_has_the_order_but_not_the_limit(factor):
    """Half the score, as a missing 1/2 or a doubled one, converges somewhere else."""
    errors = []
    for N in (64, 128, 256):
        grid = reversal.snr_grid(orders.VP, N, orders.T_MIN)
        table = orders.SAMPLERS["Heun"].chain(orders.VP, grid)
        wrong = replace(table, b=factor * table.b)
        start = orders.marginal_law(orders.VP, orders.VP.T)
        want = orders.marginal_law(orders.VP, orders.T_MIN)
        errors.append(orders.law_error(wrong, start, want))
    assert min(errors) > 0.3
    assert abs(measured_order(errors)).max() < 0.1


@pytest.mark.control
def test_the_wrong_direction_of_time_does_not_come_back():
    """The reversal run on a rising grid from t_min moves away from the law at T."""
    start = orders.marginal_law(orders.VP, orders.T_MIN)
    want = orders.marginal_law(orders.VP, orders.VP.T)
    grid = reversal.snr_grid(orders.VP, 256, orders.T_MIN)[::-1]
    step, back = solvers.euler_maruyama_step, partial(reversal.reverse, orders.VP)
    assert orders.law_error(solvers.chain(step, back, grid), start, want) > 0.5
    step, back = solvers.ode_step(HEUN), partial(reversal.probability_flow, orders.VP)
    flow = solvers.chain(step, back, grid)  # an ODE does come back
    assert orders.law_error(flow, start, want) < 1e-3


def test_the_measure_of_order_is_right():
    h = np.array([0.1, 0.05, 0.025])
    np.testing.assert_allclose(measured_order(3 * h**2.5), [2.5, 2.5])


def test_the_readme_holds_the_measured_table():
    """Row by row: the claim as printed, the slope to 0.02, the error to a tenth of itself."""
    rows = orders.table().splitlines()
    readme = README.read_text().splitlines()
    at = readme.index(rows[0])
    printed = readme[at : at + len(rows)]
    for got, want in zip(rows[2:], printed[2:], strict=True):
        (*claim, slope, error), (*said, was, off) = (
            [cell.strip() for cell in re.split(r"\|", row)[1:-1]] for row in (got, want)
        )
        assert claim == said
        assert float(slope) == pytest.approx(float(was), abs=0.02)
        assert float(error) == pytest.approx(float(off), rel=0.1)


def test_claims_name_what_there_is():
    named = {c.method for c in ORDERS if c.problem in (orders.MIXED, orders.GAUSSIAN)}
    every = {s.name for s in samplers.SAMPLERS}
    assert named <= every
    assert every - named == {"predictor-corrector"}  # it has no order: test_samplers.py
