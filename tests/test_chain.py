"""The one idea: a step is found, run and checked as a table."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ALPHA, mixtures

from refdiff import schedule, targets
from refdiff.ddpm import ddpm_chain
from refdiff.mixture import Mixture
from refdiff.probe import tabulate
from refdiff.schedule import Level
from refdiff.toys import example_2_1

SCHED = schedule.linear(20, 0.02, 0.3)
DATA = Mixture(
    np.array([1.0]), np.array([[1.5, -0.5]]), np.array([[[0.25, 0.1], [0.1, 0.5]]])
)
LEVELS = [Level(np.cos(a), np.sin(a), a) for a in np.linspace(1.4, 0.1, 9)]


def heun(level, after, h):
    """Two stages with different levels, the shape of Heun's method."""

    def step(x, z, model):
        d1 = model(x, level)
        d2 = model(x + h * d1, after)
        return x + h / 2 * (d1 + d2)

    return step


def churned(level, after, h):
    """Noise first, then two stages: the shape of a stochastic Heun sampler."""

    def step(x, z, model):
        x_hat = x + 0.3 * z
        d1 = model(x_hat, level)
        d2 = model(x_hat + h * d1 + 0.1 * z, after)
        return x_hat + h / 2 * (d1 + d2)

    return step


def multistep(level, after, h):
    """One evaluation and one remembered slope, the shape of a two-step method."""

    def step(x, z, model, last):
        d = model(x, level)
        return 0.9 * x + h * (1.5 * d - 0.5 * last) + 0.2 * z, d

    return step


def four_stages(level, after, h):
    def step(x, z, model):
        k1 = model(x, level)
        k2 = model(x + h / 2 * k1, level)
        k3 = model(x + h / 2 * k2, after)
        k4 = model(x + h * k3, after)
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return step


def build(kind):
    pairs = pairwise(LEVELS)
    return [kind(a, b, 0.1) for a, b in pairs], int(kind is multistep)


def run_by_hand(steps, history, x, z, model):
    """Call the steps one after the other: no table anywhere."""
    states, memory = [x], [np.zeros_like(x)] * history
    for step, z_k in zip(steps, z, strict=True):
        result = step(states[-1], z_k, model, *memory)
        result = result if isinstance(result, tuple) else (result,)
        states.append(result[0])
        memory = result[1:]
    return states


@pytest.mark.identity
@pytest.mark.parametrize("kind", [heun, churned, multistep, four_stages])
def test_a_chain_runs_as_its_steps_do(kind):
    """Every kind of step on a mixture, to rounding, from the same noise."""
    rng = np.random.default_rng(0)
    m = Mixture(np.array([0.3, 0.7]), np.array([[2.0], [-1.0]]), np.ones((2, 1, 1)))
    steps, history = build(kind)
    chain = tabulate(steps, history)
    x, z = rng.standard_normal((50, 1)), rng.standard_normal((len(steps), 50, 1))
    want = run_by_hand(steps, history, x, z, m.model)
    got = list(chain.run(x, m.model, z=z))
    assert chain.steps == len(steps)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.identity
def test_registers_and_evaluations_are_as_few_as_the_method_has():
    shapes = {heun: (2, 16), churned: (3, 16), multistep: (2, 8), four_stages: (4, 32)}
    for kind, (registers, evaluations) in shapes.items():
        chain = tabulate(*build(kind))
        assert chain.A.shape[1] == registers
        assert chain.evaluations == evaluations


@pytest.mark.identity
@given(
    c=st.tuples(*[st.floats(-2, 2)] * 3), level=st.sampled_from(LEVELS), d=st.just(1)
)
def test_tabulate_finds_the_three_numbers(c, level, d):
    chain = tabulate([lambda x, z, model: c[0] * x + c[1] * model(x, level) + c[2] * z])
    assert (chain.A[0, 0, 0], chain.b[0, 0], chain.c[0, 0]) == pytest.approx(
        c, rel=1e-15
    )
    if c[1]:
        assert chain.level(0) == level
    asked = chain.evaluations == 1 and np.isfinite(chain.level(0)).all()
    assert asked or c[1] == 0


@pytest.mark.law
@pytest.mark.parametrize("kind", [heun, churned, multistep, four_stages])
def test_law_is_the_law_of_the_runs(kind):
    """Mean and covariance of 100,000 runs with the exact score, at alpha 1e-6 in all."""
    chain = tabulate(*build(kind))
    rng = np.random.default_rng(0)
    n = 100_000
    *_, x = chain.run(rng.standard_normal((n, 2)), DATA.model, rng=rng)
    means, covs = chain.law(DATA.mean, DATA.cov)
    error = x.mean(axis=0) - means[-1]
    assert n * error @ np.linalg.solve(covs[-1], error) < -2 * np.log(ALPHA / 12)
    root = np.linalg.cholesky(covs[-1])
    white = np.linalg.solve(root, (x - means[-1]).T)
    assert np.abs(white @ white.T / n - np.eye(2)).max() < 5.5 * np.sqrt(2 / n)


@pytest.mark.identity
@pytest.mark.parametrize("kind", [heun, churned, multistep, four_stages])
def test_law_is_found_again_by_pushing_points(kind):
    """An affine map is known by its action on points: no covariance algebra.

    All runs are one affine map of (x, z_1, ..., z_N), read off from unit vectors.
    """
    steps, history = build(kind)
    N, d = len(steps), 2
    unit = np.eye((N + 1) * d)
    columns = np.concatenate([np.zeros((1, (N + 1) * d)), unit]).reshape(-1, N + 1, d)
    z = np.swapaxes(columns[:, 1:], 0, 1)
    end = run_by_hand(steps, history, columns[:, 0], z, DATA.model)[-1]
    J = (end[1:] - end[0]).T
    means, covs = tabulate(steps, history).law(DATA.mean, DATA.cov)
    np.testing.assert_allclose(means[-1], end[0], rtol=1e-11)
    np.testing.assert_allclose(covs[-1], J @ J.T, rtol=1e-11)


def clipped(x, z, model):
    return np.clip(x + model(x, LEVELS[0]), -1, 1)


def inner_clip(x, z, model):
    return x + model(np.clip(x, -5, 5), LEVELS[0])


def normed(x, z, model):
    s = model(x, LEVELS[0])
    return x + np.linalg.norm(z) / (np.linalg.norm(s) + 1) * s


def mixed_rows(x, z, model):
    return x + x.mean(axis=0)


def mixed_coordinates(x, z, model):
    return x + np.roll(x, 1, axis=1)


def shifted(x, z, model):
    return x + 1e-3


def random(x, z, model):
    return x + np.random.default_rng().standard_normal(x.shape)


def data_dependent_level(x, z, model):
    return x + model(x, Level(1.0, float(1 + abs(x).max()), 0.0))


def data_dependent_calls(x, z, model):
    for _ in range(1 if abs(x).max() < 1 else 2):
        x = x + model(x, LEVELS[0])
    return x


def squared(x, z, model):
    return x + 1e-6 * x**2


def slightly_bent(x, z, model):
    return x * (1 + 1e-6 * np.tanh(x))


def label_by_the_data(x, z, model):
    return x + model(x, Level(0.6, 0.8, 1.0 if abs(x).max() < 100 else 2.0))


def hidden_by_noise(x, z, model):
    return np.clip(x, -1, 1) + 1e12 * z


def wrong_shape(x, z, model):
    return x[:, 0]


def spoilt(x, z, model):
    return x * np.nan


@pytest.mark.control
@pytest.mark.parametrize(
    "step",
    [
        clipped,
        inner_clip,
        normed,
        mixed_rows,
        mixed_coordinates,
        shifted,
        random,
        data_dependent_level,
        data_dependent_calls,
        squared,
        slightly_bent,
        label_by_the_data,
        hidden_by_noise,
        wrong_shape,
        spoilt,
    ],
)
def test_tabulate_refuses_what_is_not_affine(step):
    with pytest.raises(ValueError, match="step 1 is not affine"):
        tabulate([lambda x, z, model: 0.5 * x, step])


@pytest.mark.identity
def test_a_step_may_work_in_place():
    def step(x, z, model):
        score = model(x, LEVELS[0])
        score *= 2
        x *= 0.5
        x += score
        return x

    chain = tabulate([step])
    assert (chain.A[0, 0, 0], chain.b[0, 0], chain.c[0, 0]) == (0.5, 2, 0)


def test_law_refuses_what_is_no_law():
    chain, mean, cov = ddpm_chain(SCHED), np.zeros(2), np.eye(2)
    for arguments, message in (
        (([np.nan, 0.0], cov), "mean must be finite"),
        ((mean, -cov), "positive semidefinite"),
        ((mean, [[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        ((mean, np.eye(3)), r"cov \(2, 2\)"),
        ((0.0, 1.0), r"mean must be \(1,\)"),
        ((mean, cov, [np.nan, 0.0]), "finite"),
        ((mean, cov, mean, 1.0), r"cov \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            chain.law(*arguments)


@pytest.mark.identity
def test_a_chain_may_start_where_the_signal_is_zero():
    """Zero terminal SNR: the first row asks for x0_hat, and the law follows.

    For q_posterior's mean at alpha_bar = 0 the state is forgotten: x = s' x0_hat + z.
    """
    zero, after = Level(0.0, 1.0, 2.0), Level(0.6, 0.8, 1.0)

    def first(x, z, model):
        return 0.6 * model(x, zero) + 0.8 * z

    def second(x, z, model):
        return (x + after.noise**2 * model(x, after)) / after.signal

    chain = tabulate([first, second])
    means, covs = chain.law(DATA.mean, DATA.cov)
    np.testing.assert_allclose(means[1], 0.6 * DATA.mean, rtol=1e-13)
    np.testing.assert_allclose(covs[1], 0.64 * np.eye(2), rtol=1e-13)
    gain = 0.6 * DATA.cov @ np.linalg.inv(0.36 * DATA.cov + 0.64 * np.eye(2))
    np.testing.assert_allclose(covs[2], 0.64 * gain @ gain.T, rtol=1e-12)
    np.testing.assert_allclose(means[2], DATA.mean, rtol=1e-12)
    x = np.random.default_rng(0).standard_normal((7, 2))
    z = np.zeros((2, 7, 2))
    exact = list(chain.run(x, DATA.model, z=z))
    learned = targets.x0_model(
        lambda x, t: DATA.denoise(x, *([0.0, 1.0] if t == 2 else [0.6, 0.8]))
    )
    for a, b in zip(exact, chain.run(x, learned, z=z), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.identity
@given(m=mixtures(most=2))
def test_given_noise_and_a_generator_agree(m):
    chain = ddpm_chain(SCHED)
    rng = np.random.default_rng(3)
    x = np.full((4, m.d), 0.3)
    first = list(chain.run(x, m.model, rng=rng))
    again = np.random.default_rng(3)
    z = np.zeros((20, 4, m.d))
    z[:19] = again.standard_normal((19, 4, m.d))  # the last step draws none
    for a, b in zip(first, chain.run(x, m.model, z=z), strict=True):
        np.testing.assert_array_equal(a, b)


def test_states_are_fresh_and_the_start_is_among_them():
    chain = ddpm_chain(SCHED)
    x = np.ones((3, 2))
    *path, x0 = chain.run(x, DATA.model, rng=np.random.default_rng(0))
    assert len(path) == 20
    np.testing.assert_array_equal(path[0], x)
    path[0][:] = 99
    assert (x == 1).all()
    states = [*path, x0, x]
    assert not any(np.shares_memory(a, b) for a, b in combinations(states, 2))


def test_writing_into_a_yielded_state_does_not_change_the_run():
    chain, x, z = ddpm_chain(SCHED), np.ones((3, 2)), np.zeros((20, 3, 2))
    *_, clean = chain.run(x, DATA.model, z=z)
    for state in chain.run(x, DATA.model, z=z):
        last = state.copy()
        state[:] = 99
    np.testing.assert_array_equal(last, clean)


def test_states_are_double_whatever_the_start():
    chain, z = ddpm_chain(SCHED), np.zeros((20, 3, 2), np.float32)
    states = list(chain.run(np.ones((3, 2), np.float32), DATA.model, z=z))
    assert {state.dtype for state in states} == {np.dtype(float)}


def test_a_model_cannot_change_the_run_by_writing_into_its_input():
    chain = ddpm_chain(SCHED)
    x, z = np.ones((3, 2)), np.zeros((20, 3, 2))

    def vandal(x, level):
        score = DATA.model(x, level)
        x[:] = 7
        return score

    *_, spoilt = chain.run(x, vandal, z=z)
    *_, clean = chain.run(x, DATA.model, z=z)
    np.testing.assert_array_equal(spoilt, clean)


def test_run_checks_its_arguments_before_the_first_step():
    chain, x, rng = ddpm_chain(SCHED), np.zeros((3, 2)), np.random.default_rng(0)
    cases = [
        ({"x": np.zeros(3), "rng": rng}, ValueError, "x must be"),
        ({"x": np.full((3, 2), np.nan), "rng": rng}, ValueError, "x must be finite"),
        ({"x": x}, ValueError, "rng or z"),
        ({"x": x, "rng": rng, "z": np.zeros((20, 3, 2))}, ValueError, "rng or z"),
        ({"x": x, "rng": 0}, TypeError, "rng must be"),
        ({"x": x, "z": np.full((20, 3, 2), np.nan)}, ValueError, "z must be finite"),
        ({"x": x, "z": np.zeros((19, 3, 2))}, ValueError, "z must be"),
        ({"x": x, "rng": rng, "model": 3}, TypeError, "model must be callable"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            chain.run(**({"model": DATA.model} | arguments))
    run = chain.run(x, lambda x, level: x[:, :1], rng=rng)
    next(run)
    with pytest.raises(ValueError, match="model must return"):
        next(run)


def test_a_deterministic_chain_needs_no_noise():
    chain = tabulate(*build(heun))
    *_, x = chain.run(np.ones((3, 2)), DATA.model)
    assert x.shape == (3, 2)


@pytest.mark.oracle
def test_two_chains_are_compared_as_tables():
    """The same sampler written by hand with alpha_bar alone has the same numbers."""

    def foreign(t):
        ab, before = np.prod(1 - SCHED.beta[: t + 1]), np.prod(1 - SCHED.beta[:t])
        level = SCHED.level(t)

        def step(x, z, model):
            x0 = (x + (1 - ab) * model(x, level)) / np.sqrt(ab)
            b = 1 - ab / before
            mean = np.sqrt(before) * b * x0 + np.sqrt(1 - b) * (1 - before) * x
            return mean / (1 - ab) + np.sqrt((1 - before) / (1 - ab) * b) * z

        return step

    ours, theirs = ddpm_chain(SCHED), tabulate([foreign(t) for t in range(20, 0, -1)])
    np.testing.assert_allclose(theirs.A, ours.A, atol=1e-12)
    np.testing.assert_allclose(theirs.b, ours.b, atol=1e-12)
    np.testing.assert_allclose(theirs.c, ours.c, atol=1e-12)


@pytest.mark.identity
def test_a_chain_may_go_on_with_another():
    """First one, then the other from where it ended, with memory of its own: the same."""
    rng, law = np.random.default_rng(0), example_2_1()
    level = Level(0.8, 0.6, 3.0)

    def once(x, z, model):
        return x + 0.1 * model(x, level) + 0.2 * z

    def twice(x, z, model, last):
        new = model(x, level)
        return x + 0.3 * new + 0.1 * last, new

    one, two = tabulate([once] * 3), tabulate([twice] * 3, history=1)
    x, z = rng.standard_normal((5, 1)), rng.standard_normal((6, 5, 1))
    for first, second in ((one, two), (two, one), (two, two)):
        *_, middle = first.run(x, law.model, z=z[:3])
        *_, end = second.run(middle, law.model, z=z[3:])
        both = first.then(second)
        *_, got = both.run(x, law.model, z=z)
        np.testing.assert_allclose(got, end, rtol=1e-14)
        assert both.steps == 6
        assert both.evaluations == first.evaluations + second.evaluations


def test_the_law_from_much_noise_needs_a_start():
    """N(0, I) is no start for VE, whose first level is wider."""
    level = Level(1.0, 80.0, 80.0)
    chain = tabulate([lambda x, z, model: x + 3200.0 * model(x, level)])
    with pytest.raises(ValueError, match="start_cov must be given.*80"):
        chain.law(np.zeros(1), np.eye(1))
    _, covs = chain.law(np.ones(1), np.eye(1), np.zeros(1), 6400 * np.eye(1))
    assert covs[-1, 0, 0] == pytest.approx(6400 * (1 - 3200 / 6401) ** 2)
