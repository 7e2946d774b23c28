"""The bound's formulas at 50 digits, and what they refuse: another page of test_vae.

The posterior's mp route is the joint Gaussian's, C^T (C C^T + R)^-1, which subtracts.
"""

import inspect

import mpmath as mp
import numpy as np
import pytest
from support import assert_accurate, exact

from refdiff import codes, vae
from refdiff.toys import blobs
from refdiff.vae import Decoder

SCALES = (1e-8, 1e-3, 1.0, 1e8)
LOG_2PI = mp.log(2 * mp.pi)


def cut(v, *shapes):
    """The numbers v as matrices of these shapes, one after another."""
    rest = iter(v)
    return [
        mp.matrix([[next(rest) for _ in range(n)] for _ in range(m)]) for m, n in shapes
    ]


def mp_posterior(d, k):
    """Mean and covariance of z given x at 50 digits, from [x, C, v, R] in one list."""

    def f(inputs):
        x, C, v, R = cut(inputs, (d, 1), (d, k), (d, 1), (d, d))
        gain = C.T * (C * C.T + R) ** -1
        S = mp.eye(k) - gain * C
        return [*(gain * (x - v)), *(S[i, j] for i in range(k) for j in range(k))]

    return f


def mp_log_likelihood(inputs):
    """Terms of log p(x) at 50 digits for d = 2, k = 1."""
    x, C, v, R = cut(inputs, (2, 1), (2, 1), (2, 1), (2, 2))
    M, r = C * C.T + R, x - v
    return -(r.T * M**-1 * r)[0] / 2, -mp.log(mp.det(M)) / 2, -LOG_2PI


def example(d, k, s):
    """Return a decoder with noise of size s, and a point x that it may well make."""
    C = np.array([[1.0, 0.7], [0.3, -0.6]])[:d, :k]
    R = s**2 * np.array([[1.0, 0.5], [0.5, 2.0]])[:d, :d]
    v = np.array([0.25, -0.5])[:d]
    x = C @ np.array([0.8, -1.1])[:k] + v + s * np.array([0.6, -0.8])[:d]
    return x, Decoder(C, v, R)


@pytest.mark.oracle
@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize(("d", "k"), [(1, 1), (2, 1), (2, 2)])
def test_posterior_agrees_with_50_digits(d, k, s):
    x, decoder = example(d, k, s)
    mean, cov = vae.posterior(x, decoder)
    inputs = exact(np.concatenate([np.ravel(a) for a in (x, *decoder)]))
    std = np.sqrt(np.diag(cov))  # the size of cov[i, j] is std[i] std[j]
    size = [*np.abs(mean), *np.outer(std, std).ravel()]
    assert_accurate([*mean, *cov.ravel()], mp_posterior(d, k), inputs, size)


@pytest.mark.oracle
@pytest.mark.parametrize("s", [1e-8, 1e-6, 1e-3, 1.0])
def test_posterior_agrees_with_50_digits_where_latents_outnumber_data(s):
    """k > d: half of z is left to the prior, however small the decoder's noise."""
    x, decoder = example(1, 2, s)
    mean, cov = vae.posterior(x, decoder)
    inputs = exact(np.concatenate([np.ravel(a) for a in (x, *decoder)]))
    assert_accurate([*mean, *cov.ravel()], mp_posterior(1, 2), inputs)


@pytest.mark.oracle
@pytest.mark.parametrize("s", [1e-8, 1e-6, 1e-3, 1.0])
def test_log_likelihood_agrees_with_50_digits_where_data_outnumber_latents(s):
    """d > k: a thin law around a line, on which x lies to within s."""
    x, decoder = example(2, 1, s)
    inputs = exact(np.concatenate([np.ravel(a) for a in (x, *decoder)]))
    got = vae.log_likelihood(x, decoder)
    size = [sum(abs(a) for a in mp_log_likelihood(inputs))]
    assert_accurate(got, lambda v: [sum(mp_log_likelihood(v))], inputs, size)


@pytest.mark.oracle
@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("t", SCALES)
def test_reconstruction_agrees_with_50_digits(t, s):
    x, decoder = example(2, 2, s)
    mean, cov = np.array([0.3, -0.9]), t**2 * np.array([[1.0, -0.3], [-0.3, 0.5]])

    def terms(inputs):
        x, mean, cov, C, v, R = cut(
            inputs, (2, 1), (2, 1), (2, 2), (2, 2), (2, 1), (2, 2)
        )
        r, P = x - C * mean - v, R**-1
        spread = P * C * cov * C.T
        log_det = mp.log(mp.det(R))
        return (r.T * P * r)[0], spread[0, 0] + spread[1, 1], log_det, 2 * LOG_2PI

    inputs = exact(np.concatenate([np.ravel(a) for a in (x, mean, cov, *decoder)]))
    got = vae.reconstruction(x, mean, cov, decoder)
    size = [sum(abs(a) for a in terms(inputs)) / 2]
    assert_accurate(got, lambda v: [-sum(terms(v)) / 2], inputs, size)


@pytest.mark.oracle
@pytest.mark.parametrize("std", [*SCALES, 1 - 1e-9, 1 + 1e-12])
@pytest.mark.parametrize("mean", [0.0, 1.0, 40.0])
def test_prior_kl_agrees_with_50_digits(std, mean):
    """Near std = 1 its terms cancel, and the error is measured against their sizes."""

    def terms(v):
        return v[0] ** 2, (v[1] - 1) * (v[1] + 1), -2 * mp.log(v[1])

    inputs = exact([mean, std])
    size = [sum(abs(a) for a in terms(inputs)) / 2]
    got = vae.prior_kl(np.array([mean]), std)
    assert_accurate(got, lambda v: [sum(terms(v)) / 2], inputs, size)


@pytest.mark.oracle
@pytest.mark.parametrize("t", SCALES)
@pytest.mark.parametrize("s", SCALES)
def test_the_surface_agrees_with_50_digits(t, s):
    def terms(v):
        t, s, sigma = v
        return (
            -LOG_2PI / 2,
            -mp.log(s),
            -((sigma * t / s) ** 2) / 2,
            -t * t / 2,
            mp.log(t),
        )

    inputs = exact([t, s, 2.5])
    size = [sum(abs(a) for a in terms(inputs))]
    got = vae.elbo_surface(t, s, 2.5)
    assert_accurate(got, lambda v: [sum(terms(v))], inputs, size)


@pytest.mark.oracle
@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("distance", [0.0, 1.0, 40.0])
def test_log_decoder_agrees_with_50_digits(s, distance):
    at_z = np.array([0.25, -1.5])
    x = at_z + distance * s * np.array([0.6, -0.8])

    def terms(v):
        square = (v[0] - v[2]) ** 2 + (v[1] - v[3]) ** 2
        return -square / (2 * v[4] ** 2), -LOG_2PI, -2 * mp.log(v[4])

    inputs = exact([*x, *at_z, s])
    size = [sum(abs(a) for a in terms(inputs))]
    got = vae.log_decoder(x, at_z, s)
    assert_accurate(got, lambda v: [sum(terms(v))], inputs, size)


ONE, TWO = np.ones(1), np.ones(2)
LAW = blobs([0.3, 0.7], [[-2.0], [2.0]], 1.0)
EYE, HALVES = np.eye(1), np.array([0.5, 0.5])
GOOD = {name: ONE for name in ("x", "mu", "mean", "std", "z", "at_z")}
GOOD |= {name: np.array(1.0) for name in ("s", "t", "sigma")}
GOOD |= {"cov": EYE, "eps": EYE, "q": HALVES, "decoder": Decoder(EYE, ONE, EYE)}
GOOD |= {"k": np.array([0]), "law": LAW, "decode": lambda z: z}
DOORS = {
    f: [name for name in inspect.signature(f).parameters]
    for module in (vae, codes)
    for name, f in inspect.getmembers(module, inspect.isfunction)
    if f.__module__ == module.__name__ and name[0] != "_" and name != "dct_basis"
}
ARRAYS = [
    (f, name)
    for f, names in DOORS.items()
    for name in names
    if name not in ("k", "law", "decode", "decoder")
]


def names_it(name):
    return pytest.raises(ValueError, match=rf"(^|[ .]){name} must be finite")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("f", "name"), ARRAYS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_finite_is_refused_by_name(f, name, bad):
    """The module's promise, for every function and every argument."""
    arguments = {key: GOOD[key] for key in DOORS[f]}
    f(**arguments)
    with names_it(name):
        f(**arguments | {name: np.full_like(GOOD[name], bad)})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["C", "v", "cov"])
@pytest.mark.parametrize("f", [f for f, names in DOORS.items() if "decoder" in names])
def test_a_decoder_that_is_not_finite_is_refused_by_name(f, field, bad):
    decoder = GOOD["decoder"]
    decoder = decoder._replace(**{field: np.full_like(getattr(decoder, field), bad)})
    arguments = {key: GOOD[key] for key in DOORS[f]} | {"decoder": decoder}
    with names_it(field):
        f(**arguments)


@pytest.mark.parametrize("std", [0.0, -1.0])
def test_a_std_that_is_not_above_0_is_refused(std):
    with pytest.raises(ValueError, match="std must be above 0; got"):
        vae.prior_kl(np.ones(2), np.array([1.0, std]))
    with pytest.raises(ValueError, match="std must be above 0; got"):
        vae.elbo_estimate(ONE, lambda z: z, ONE, np.array([std]), np.ones((3, 1)), 1.0)


@pytest.mark.parametrize(
    "q",
    [[0.5, 0.6], [-0.1, 1.1], [0.0, 0.0], [1.0], [[0.5, 0.5], [0.5, 0.4]]],
    ids=str,
)
def test_what_is_no_distribution_is_refused(q):
    """One share for a mixture of two is none, although it would broadcast."""
    with pytest.raises(ValueError, match="q must be"):
        codes.elbo_discrete(np.ones((2, 1)), np.array(q), LAW)


WITH_COV = {
    "elbo": lambda cov, p: vae.elbo(TWO, TWO, cov, p),
    "gap": lambda cov, p: vae.gap(TWO, TWO, cov, p),
    "prior_matching": lambda cov, p: vae.prior_matching(TWO, cov),
    "reparameterise_full": lambda cov, p: vae.reparameterise_full(TWO, cov, TWO),
    "decoder of posterior": lambda cov, p: vae.posterior(TWO, p._replace(cov=cov)),
    "decoder of likelihood": lambda cov, p: vae.log_likelihood(
        TWO, p._replace(cov=cov)
    ),
    "decoder of reconstruction": lambda cov, p: vae.reconstruction(
        TWO, TWO, np.eye(2), p._replace(cov=cov)
    ),
}


@pytest.mark.parametrize("call", WITH_COV.values(), ids=WITH_COV)
@pytest.mark.parametrize("bad", [np.diag([1.0, -0.1]), np.eye(2) + np.eye(2, k=1) / 2])
def test_a_covariance_that_is_none_is_refused(call, bad):
    decoder = Decoder(np.eye(2), TWO, np.eye(2))
    call(np.eye(2), decoder)
    with pytest.raises(ValueError, match="cov must be"):
        call(bad, decoder)


def test_a_point_has_a_reconstruction_and_no_bound():
    """cov = 0: E_q log p(x | z) is the density at the point, and KL is infinite."""
    x, decoder = example(2, 2, 0.5)
    at, none = np.array([0.3, -0.9]), np.zeros((2, 2))
    near = vae.reconstruction(x, at, 1e-18 * np.eye(2), decoder)
    assert vae.reconstruction(x, at, none, decoder) == pytest.approx(near, rel=1e-14)
    np.testing.assert_array_equal(vae.reparameterise_full(at, none, x), at)
    with pytest.raises(ValueError, match="positive definite"):
        vae.elbo(x, at, none, decoder)


@pytest.mark.oracle
@pytest.mark.parametrize("s", [1e-8, 1e-6, 1e-4, 1.0])
def test_gap_agrees_with_50_digits_where_latents_outnumber_data(s):
    """KL(N(0, I) || p(z | x)) for C = [1, 2]: the posterior is thin along C alone."""
    decoder = Decoder(np.array([[1.0, 2.0]]), np.zeros(1), np.array([[s**2]]))
    got = vae.gap(ONE, np.zeros(2), np.eye(2), decoder)
    var = mp.mpf(float(s**2))
    # along C / |C| the posterior is N(sqrt(5) / (5 + var), var / (5 + var))
    mean, thin = mp.sqrt(5) / (5 + var), var / (5 + var)
    want = (1 / thin - 1 + mean**2 / thin + mp.log(thin)) / 2
    assert abs(got - want) <= 1e-14 * want


def test_what_does_not_fit_is_refused():
    """Covariances of none, a std for another code, no draw, a component of none."""
    decoder = Decoder(np.eye(2), TWO, np.eye(2))
    for bad in (-np.eye(2), np.eye(2) + np.eye(2, k=1)):
        with pytest.raises(ValueError, match="cov must be"):
            vae.reconstruction(TWO, TWO, bad, decoder)
    with pytest.raises(ValueError, match=r"std must fit mean \(2,\)"):
        vae.prior_kl(TWO, np.ones((3, 2)))
    with pytest.raises(ValueError, match="at least one draw"):
        vae.elbo_estimate(ONE, lambda z: z, ONE, ONE, np.ones((0, 1)), 1.0)
    for k in (-1, 2):
        with pytest.raises(ValueError, match=r"k in 0\.\.1"):
            codes.decode_component(np.array([k]), np.ones((1, 1)), LAW)
    for sigma in (0.0, -1.0):
        with pytest.raises(ValueError, match="sigma must be above 0"):
            codes.ideal_code(ONE, ONE, sigma)
    for f in (vae.posterior, vae.log_likelihood):
        with pytest.raises(ValueError, match=r"x must be \(\.\.\., 2\)"):
            f(np.ones((4, 1)), decoder)
    mean, std = np.ones(2), np.ones(2)
    vae.prior_kl_grad(mean, std)[0][:] = 7
    assert mean[0] == 1
