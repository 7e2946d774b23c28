"""What compiled runs refuse, lest it be read beyond its end or run on as noise."""

from dataclasses import replace

import numpy as np
import pytest
from numba import config, njit

from refdiff import densities, fast, toys
from refdiff.chain import Chain
from refdiff.langevin import langevin_chain
from refdiff.mixture import Mixture

CHAIN, LAW = langevin_chain(0.01, 4), toys.eight_gaussians()
X = fast.start(1, 50, 2)


@njit
def of_rows(x, out):
    """A score for points (B, d), given (d, B)."""
    for i in range(x.shape[0]):
        out[i, 0], out[i, 1] = -x[i, 0], -x[i, 1]


@njit
def of_the_right(x, out):
    """A score that forgets the other half of the plane."""
    for i in range(x.shape[1]):
        if x[0, i] > 0:
            out[:, i] = -x[:, i]


@pytest.mark.parametrize("score", [of_rows, of_the_right])
def test_a_score_that_fills_only_part_of_its_rows_is_refused(score):
    with pytest.raises(ValueError, match="law must fill out"):
        fast.run(CHAIN, score, X, seed=1)


@pytest.mark.skipif(config.DISABLE_JIT, reason="NumPy refuses to write there")
def test_a_score_of_the_plane_is_refused_on_a_line():
    with pytest.raises(ValueError, match="law must fill 1 rows of out; it filled more"):
        fast.run(CHAIN, njit(densities.ring().block), fast.start(1, 50, 1), seed=1)


LONG = np.ones((5, 1))
MISFITS = [
    ("A", np.ones((4, 2, 2))),
    ("A", [[[1.0]]] * 4),
    ("b", LONG),
    ("b", np.ones((4, 2))),
    ("c", LONG),
    ("c", np.ones(4)),
    ("c", 1.0),
    ("signal", np.ones(3)),
    ("noise", np.ones(5)),
    ("ends", np.ones(8, bool)),
]


@pytest.mark.parametrize(("name", "part"), MISFITS)
def test_a_chain_whose_parts_do_not_fit_is_refused(name, part):
    with pytest.raises(ValueError, match="chain[.].* must be an array"):
        fast.run(replace(CHAIN, **{name: part}), LAW, X, seed=1)


@pytest.mark.parametrize(
    "ends",
    [np.full(4, 2), np.full(4, 0.5), np.array([1, -1, 1, 1]), np.array(["a"] * 4)],
)
def test_a_chain_whose_steps_end_more_or_less_than_once_is_refused(ends):
    """What they add up to is how many states there is room for."""
    with pytest.raises(TypeError, match="chain.ends must be of bool; got"):
        fast.run(replace(CHAIN, ends=ends), LAW, X, seed=1, every=1)


def test_a_chain_of_no_registers_is_refused():
    none = np.zeros((4, 0))
    with pytest.raises(ValueError, match="chain.A must be an array"):
        fast.run(replace(CHAIN, A=none[..., None], b=none, c=none), LAW, X, seed=1)


@pytest.mark.parametrize("name", ["A", "b", "c", "signal", "noise"])
def test_a_chain_of_what_is_no_number_is_refused(name):
    part = getattr(CHAIN, name).copy()
    part[2] = np.nan
    with pytest.raises(ValueError, match=f"chain.{name} must be finite"):
        fast.run(replace(CHAIN, **{name: part}), LAW, X, seed=1)


def test_a_chain_that_leaves_a_step_unfinished_is_refused():
    ends = CHAIN.ends.copy()
    ends[-1] = False
    with pytest.raises(ValueError, match="chain.ends must be True in the last row"):
        fast.run(replace(CHAIN, ends=ends), LAW, X, seed=1)


def test_a_chain_whose_idle_rows_have_no_level_is_none_of_these():
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    no = np.full(1, np.nan)
    still = Chain(one[None], zero, zero, no, no, no, np.array([True]))
    assert (fast.run(still, LAW, X, seed=1) == X).all()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_mixture_too_wide_for_float32_is_refused(d):
    """Its inverse variance would be 0, and so would its score."""
    for sizes in ([1e22], [1.0, 1e22]):
        covs = np.array(sizes)[:, None, None] ** 2 * np.eye(d)
        law = Mixture(
            np.full(len(sizes), 1 / len(sizes)), np.zeros((len(sizes), d)), covs
        )
        x = np.ones((3, d))
        assert np.isfinite(fast.score(law, x)).all()
        for ask in (fast.score, fast.logpdf):
            with pytest.raises(ValueError, match="numbers of float32; it holds .*e-45"):
                ask(law, x.astype(np.float32))


@pytest.mark.parametrize(("mean", "size"), [(1e39, 1.0), (-1e39, 1.0), (0.0, 1e40)])
def test_samples_beyond_float32_are_refused(mean, size):
    law = Mixture([1.0], [[0.0, mean]], [size**2 * np.eye(2)])
    assert np.isfinite(fast.sample(law, 9, 1)).all()
    with pytest.raises(ValueError, match="means and deviations that are numbers of f"):
        fast.sample(law, 9, 1, dtype=np.float32)
