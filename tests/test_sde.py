"""The forward SDEs: marginals, transitions and times, by calculus and at 50 digits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from support import assert_accurate, exact

from refdiff import schedule, sde
from refdiff.sde import cosine_beta, edm, linear_beta, ou, rescaled, sub_vp, ve, vp

PROCESSES = {
    "VP linear": vp(linear_beta()),
    "VP cosine": vp(cosine_beta()),
    "sub-VP linear": sub_vp(linear_beta()),
    "sub-VP cosine": sub_vp(cosine_beta()),
    "VE": ve(0.01, 50.0),
    "EDM": edm(80.0),
    "OU": ou(1.3, 0.7, T=5.0),
    "OU that grows": ou(-0.8, 0.7, T=2.0),
    "Brownian": ou(0.0, 0.05, T=100.0),
}
processes = pytest.mark.parametrize("name", PROCESSES)
shares = st.floats(1e-6, 1 - 1e-6)


def beta_linear(t):
    return mp.mpf("0.1") + t * (mp.mpf(20.0) - mp.mpf(0.1))


def integral_linear(t):
    low = mp.mpf(0.1)
    return low * t + t**2 / 2 * (mp.mpf(20.0) - low)


def angle(t):
    s = mp.mpf(0.008)
    return (t + s) / (1 + s) * mp.pi / 2


def integral_cosine(t):
    return 2 * mp.log(mp.cos(angle(mp.mpf(0))) / mp.cos(angle(t)))


def vp_law(B):
    return lambda t: [mp.exp(-B(t) / 2), mp.sqrt(1 - mp.exp(-B(t)))]


def sub_law(B):
    return lambda t: [mp.exp(-B(t) / 2), 1 - mp.exp(-B(t))]


def ou_law(alpha, beta):
    a, b = mp.mpf(alpha), mp.mpf(beta)
    return lambda t: [
        mp.exp(-a * t / 2),
        b * mp.sqrt((1 - mp.exp(-a * t)) / a) if a else b * mp.sqrt(t),
    ]


LAWS = {  # (signal, noise) as the literature writes them, at 50 digits
    "VP linear": vp_law(integral_linear),
    "VP cosine": vp_law(integral_cosine),
    "sub-VP linear": sub_law(integral_linear),
    "sub-VP cosine": sub_law(integral_cosine),
    "VE": lambda t: [mp.mpf(1), mp.mpf(0.01) * (mp.mpf(50) / mp.mpf(0.01)) ** t],
    "EDM": lambda t: [mp.mpf(1), t],
    "OU": ou_law(1.3, 0.7),
    "OU that grows": ou_law(-0.8, 0.7),
    "Brownian": ou_law(0.0, 0.05),
}


@pytest.mark.oracle
@processes
def test_the_marginal_agrees_with_50_digits(name):
    """Both ends included: t from 1e-12 T to T."""
    process = PROCESSES[name]
    times = process.T * np.array([1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0])
    for t in times:
        assert_accurate(process.marginal(t), lambda v: LAWS[name](v[0]), exact([t]))


@processes
def test_at_time_0_there_is_only_the_data_and_the_first_noise(name):
    signal, noise = PROCESSES[name].marginal(0.0)
    assert (signal, noise) == (1.0, 0.01 if name == "VE" else 0.0)


@pytest.mark.oracle
@processes
def test_transitions_lose_no_digits_over_short_times(name):
    """var of (s, t) as noise_t^2 - scale^2 noise_s^2, which needs 50 digits."""
    process, law = PROCESSES[name], LAWS[name]

    def route(v):
        (a, b), (c, d) = law(v[0]), law(v[1])
        return [c / a, d**2 - (c / a) ** 2 * b**2]

    for share in (0.01, 0.4, 0.9):
        for h in (1e-9, 1e-4, 0.05):
            s = share * process.T
            t = s + h * process.T
            # a difference of times is exact where they are near: take it as the input
            got = process.transition(s, t)
            value = route(exact([s, t]))
            lost = 1e-15 * t / (t - s)  # rounding of t - s itself, seen by sums
            tol = 1e-12 + lost
            for g, v in zip(got, value, strict=True):
                assert float(abs(g - v) / v) < tol, (share, h)


@pytest.mark.identity
@processes
@given(share=shares)
def test_the_marginal_solves_its_moment_equations(name, share):
    """signal' = a signal;  (noise^2)' = 2 a noise^2 + g^2, by 50-digit differences."""
    process, t = PROCESSES[name], mp.mpf(share) * mp.mpf(PROCESSES[name].T)
    h, law, at = t * mp.mpf(10) ** -15, LAWS[name], float(t)
    (s1, n1), (s2, n2) = law(t - h), law(t + h)
    signal, noise = law(t)
    rate = (s2 - s1) / (2 * h) / signal
    assert process.a(at) == pytest.approx(float(rate), rel=1e-12, abs=1e-30)
    g2 = (n2**2 - n1**2) / (2 * h) - 2 * rate * noise**2
    assert process.g2(at) == pytest.approx(float(g2), rel=1e-11)
    assert process.g(at) ** 2 == pytest.approx(float(g2), rel=1e-11)
    x = np.array([[1.0, -2.0]])
    np.testing.assert_allclose(process.f(x, at), float(rate) * x, rtol=1e-12)


@pytest.mark.control
@given(share=st.floats(0.1, 0.9))
def test_a_lost_root_or_factor_does_not_solve_them(share):
    """g = beta for sqrt(beta), g^2 = beta/2; VE's g^2 without 2 log(ratio)."""
    process, t, h = PROCESSES["VP linear"], share, 1e-6

    def g2(process):
        rise = np.diff([process.marginal(v)[1] ** 2 for v in (t - h, t + h)])[0]
        return rise / (2 * h) - 2 * process.a(t) * process.marginal(t)[1] ** 2

    want, beta = g2(process), process.g2(t)
    assert beta == pytest.approx(want, rel=1e-6)
    assert min(abs(wrong / want - 1) for wrong in (beta**2, beta / 2)) > 0.4
    sigma2, want = PROCESSES["VE"].marginal(t)[1] ** 2, g2(PROCESSES["VE"])
    assert PROCESSES["VE"].g2(t) == pytest.approx(want, rel=1e-6)
    assert min(abs(sigma2 * k / want - 1) for k in (1, 2, np.log(5000))) > 0.4


@pytest.mark.identity
@processes
@given(u=shares, v=shares, w=shares)
def test_transitions_compose(name, u, v, w):
    """Chapman and Kolmogorov: s -> t -> u is s -> u, for means and variances."""
    process = PROCESSES[name]
    s, t, u = np.sort([u, v, w]) * process.T
    a, p = process.transition(s, t)
    b, q = process.transition(t, u)
    c, r = process.transition(s, u)
    assert a * b == pytest.approx(c, rel=1e-12)
    assert b**2 * p + q == pytest.approx(r, rel=1e-11, abs=1e-300)
    signal, noise = process.marginal(s)
    assert process.marginal(t) == pytest.approx(
        (a * signal, np.hypot(a * noise, np.sqrt(p))), rel=1e-12
    )


@pytest.mark.oracle
@pytest.mark.parametrize(
    "rate",
    [linear_beta(), linear_beta(1.0, 3.0), cosine_beta(), sde.constant_beta(0.7)],
)
def test_the_integral_of_beta_is_its_integral(rate):
    for s, t in ((0.0, 0.3), (0.2, 0.9), (0.5, 0.5001)):
        want, _ = integrate.quad(rate.beta, s, t, epsrel=1e-13)
        assert rate.B(s, t) == pytest.approx(want, rel=1e-11)


@pytest.mark.identity
@processes
@given(share=shares)
def test_time_is_the_inverse_of_the_log_snr(name, share):
    process = PROCESSES[name]
    t = share * process.T
    lam = process.log_snr(t)
    level = process.level(t)
    assert lam == pytest.approx(np.log(level.signal / level.noise), rel=1e-9, abs=1e-12)
    assert level.t == t
    assert process.log_snr(process.time(lam)) == pytest.approx(
        lam, rel=1e-12, abs=1e-13
    )
    # the log SNR of t moves by d lam/dt dt: a time is known as well as its log SNR is
    slope = -process.g2(t) / (2 * level.noise**2)
    known = 4e-16 * max(abs(lam), 1) / abs(slope)
    assert abs(process.time(lam) - t) < 1e-12 * t + 100 * known


@processes
def test_the_log_snr_falls(name):
    process = PROCESSES[name]
    lam = process.log_snr(np.linspace(0, process.T, 50)[1:])
    assert (np.diff(lam) < 0).all()
    most = np.log(100) if name == "VE" else np.inf
    assert process.log_snr(0.0) == pytest.approx(most)
    assert process.time(process.log_snr(0.0)) == 0.0
    assert process.time(process.log_snr(process.T)) == process.T
    with pytest.raises(ValueError, match="log_snr must be in"):
        process.time(process.log_snr(process.T) - 0.1)


@pytest.mark.identity
@pytest.mark.parametrize("name", ["VP linear", "VP cosine", "sub-VP linear", "OU"])
@given(share=shares)
def test_vp_and_ve_are_one_process(name, share):
    """x / signal has drift 0; in the time noise / signal it is EDM's process itself."""
    process = PROCESSES[name]
    scaled, t = rescaled(process), share * process.T
    signal, noise = process.marginal(t)
    assert scaled.marginal(t) == pytest.approx((1.0, noise / signal), rel=1e-12)
    assert scaled.a(t) == 0
    assert scaled.log_snr(t) == pytest.approx(process.log_snr(t), rel=1e-10, abs=1e-12)
    sigma = scaled.marginal(t)[1]  # g^2 dt = d sigma^2: EDM's, once sigma is the time
    assert scaled.g2(t) == pytest.approx(process.g2(t) / signal**2, rel=1e-13)
    h = 1e-5 * t * min(1, process.T / t - 1)
    rise = np.diff([scaled.marginal(v)[1] ** 2 for v in (t - h, t + h)])[0] / (2 * h)
    assert scaled.g2(t) == pytest.approx(rise, rel=1e-4)
    whole = edm(1e6)
    s = share * 0.7 * process.T
    got, want = scaled.transition(s, t), whole.transition(scaled.marginal(s)[1], sigma)
    assert got == pytest.approx(want, rel=1e-9)


@pytest.mark.limit
def test_the_discrete_cosine_schedule_is_the_continuous_one_at_its_times():
    T = 100
    table, process = schedule.cosine(T), PROCESSES["VP cosine"]
    t = np.arange(0, 100)
    signal, noise = process.marginal(t / T)
    np.testing.assert_allclose(signal, table.signal[:-1], rtol=1e-12)
    np.testing.assert_allclose(noise, table.noise[:-1], rtol=1e-12)


def test_times_may_be_arrays():
    for process in PROCESSES.values():
        t = process.T * np.array([[0.1], [0.5], [1.0]])
        signal, noise = process.marginal(t)
        want = [process.marginal(float(v)) for v in t[:, 0]]
        np.testing.assert_array_equal(
            np.column_stack(np.broadcast_arrays(signal, noise)), want
        )
        x = np.ones((3, 2))
        assert process.f(x, t).shape == (3, 2)
        assert np.broadcast_to(process.g(t), (3, 1)).shape == (3, 1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: linear_beta(0.0), "beta_min"),
        (lambda: linear_beta(0.1, np.inf), "beta_max"),
        (lambda: cosine_beta(-0.1), "s must be"),
        (lambda: cosine_beta(T=1.0), "T in"),
        (lambda: ve(1.0, 1.0), "sigma_max must be above"),
        (lambda: ve(0.0), "sigma_min"),
        (lambda: edm(0.0), "sigma_max"),
        (lambda: ou(np.nan, 1.0), "alpha"),
        (lambda: ou(1.0, 0.0), "beta"),
        (lambda: PROCESSES["VP linear"].marginal(1.1), "t must be in"),
        (lambda: PROCESSES["VP linear"].marginal(-0.1), "t must be in"),
        (lambda: PROCESSES["VP linear"].level(np.nan), "t must be finite"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.oracle
def test_the_numbers_of_the_papers():
    """VP ends at exp(-10.05/2); VE's g^2; sub-VP's noise is VP's, squared."""
    assert PROCESSES["VP linear"].marginal(1.0)[0] == pytest.approx(np.exp(-5.025))
    a, b = (PROCESSES[n].marginal(0.37)[1] for n in ("VP linear", "sub-VP linear"))
    assert b == pytest.approx(a**2, rel=1e-13)
    g = ve(0.01, 50.0).g(0.5)
    assert g == pytest.approx(0.01 * 5000**0.5 * np.sqrt(2 * np.log(5000)))
    assert sde.edm().g(3.0) == pytest.approx(np.sqrt(6))


@pytest.mark.parametrize(
    ("rate", "match"),
    [
        (sde.Beta(lambda t: 0.1 + 9 * t, lambda s, t: t - s, 1.0), "B must be beta's"),
        (sde.Beta(lambda t: 1 + 0 * t, lambda s, t: t + 0 * s, 1.0), "add up"),
        (sde.Beta(lambda t: t - 0.5, lambda s, t: (t - s) * 0.1, 1.0), "at least 0"),
    ],
)
def test_a_rate_and_its_integral_must_agree(rate, match):
    for make in (vp, sub_vp):
        with pytest.raises(ValueError, match=match):
            make(rate)


def test_times_are_looked_at_wherever_they_are_given():
    process, x = PROCESSES["VP linear"], np.ones((3, 2))
    for call in (process.g, process.marginal, lambda t: process.f(x, t)):
        with pytest.raises(ValueError, match="t must be in"):
            call(1.5)
    with pytest.raises(ValueError, match=r"t must be a number or \(\.\.\., 1\)"):
        process.f(np.ones((2, 2)), np.array([0.1, 0.9]))
    grown = pytest.raises(ValueError, match="must be finite; it holds inf")
    with grown, np.errstate(over="ignore"):
        ou(-50.0, 1.0, T=40.0).marginal(40.0)
    got = process.marginal(np.float32(0.3))  # worked out in float64
    assert got == pytest.approx(process.marginal(float(np.float32(0.3))), rel=1e-15)


def test_the_forward_process_and_its_start():
    process, z = PROCESSES["VE"], np.ones((2, 1))
    np.testing.assert_allclose(process.start(z), 50.0)
    f, g = process.process
    assert (f(z, 0.3) == 0).all()
    assert g(z, 0.3) == process.g(0.3)
