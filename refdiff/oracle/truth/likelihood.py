"""Likelihoods at 50 digits: the flow of Gaussian data, traces, ELBO terms, bits."""

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.laws import draws
from refdiff.oracle.truth.mixtures import GAUSSIAN, det, inverse, spread
from refdiff.oracle.truth.schedules import alpha_bar_of, beta_of
from refdiff.oracle.truth.sdes import NOTE, SDES, marginal, marginal_again

SHORT = {"kind": "linear", "T": 5, "beta_1": 0.0625, "beta_T": 0.5}
MIDDLE = {"kind": "scaled-linear", "T": 12, "beta_1": 0.004, "beta_T": 0.5}
POINTS = [[1.25, -0.625], [-0.4375, 2.125], [3.0, 0.5]]


def transported(p, m, f=marginal):
    """Means at both ends, and M = (S_T S_0^-1)^(1/2): x_T = mean_T + M (x - mean_0).

    S = signal^2 C + noise^2 I commutes with C, so M solves the flow's linear equation;
    the root of a 2 x 2 matrix A is (A + sqrt(det A) I) / sqrt(tr A + 2 sqrt(det A))
    """
    start, end = (f(p["sde"], p[k] * 1, m) for k in ("t_0", "t_T"))
    mean, cov = (m.number(p["law"][k][0]) for k in ("means", "covs"))
    A = spread(cov, *end) @ inverse(spread(cov, *start))
    root = m.sqrt(det(A))
    M = (A + root * np.eye(2, dtype=np.int8)) / m.sqrt(A[0, 0] + A[1, 1] + 2 * root)
    return start[0] * mean, end[0] * mean, M


def normal(x, m, std=1):
    """Log of N(x | 0, std^2 I) of each row."""
    d, var = x.shape[-1], std * std * m.number(1.0)
    return -(x * x).sum(axis=-1) / (2 * var) - d * m.log(2 * m.pi * var) / 2


def prior(p, m):
    """The standard deviation of the prior: 1, or of VE its noise at t."""
    return p["prior_std"] * m.number(1.0)


def flow_loglik(p, m, f=marginal):
    """Log of N(x_T | 0, prior_std^2 I) + log det M."""
    mean_0, mean_T, M = transported(p, m, f)
    x_T = mean_T + (p["x"] - mean_0) @ M.T
    return {"log_p": normal(x_T, m, prior(p, m)) + m.log(det(M)), "x_T": x_T}


def flow_loglik_again(p, m):
    """The same along the eigenvectors of C, where the flow is a scaling by itself."""
    (s0, n0), (s, n) = (marginal_again(p["sde"], p[k] * 1, m) for k in ("t_0", "t_T"))
    mean, cov = (m.number(p["law"][k][0]) for k in ("means", "covs"))
    gap, off = (cov[0, 0] - cov[1, 1]) / 2, cov[0, 1]
    middle, far = (cov[0, 0] + cov[1, 1]) / 2, m.sqrt(gap * gap + off * off)
    x_T, fallen = s * mean, 0
    for value, tilt in ((middle + far, gap + far), (middle - far, gap - far)):
        axis = np.array([tilt, off])
        along = (p["x"] - s0 * mean) @ axis / (axis @ axis)
        grows = m.sqrt((s * s * value + n * n) / (s0 * s0 * value + n0 * n0))
        x_T = x_T + grows * along[:, None] * axis
        fallen = fallen + m.log(grows)
    return {"log_p": normal(x_T, m, prior(p, m)) + fallen, "x_T": x_T}


def hutchinson(p, m):
    """mean_m v_m^T J v_m."""
    v = p["probes"]
    return {"trace": sum((v[k] @ p["J"] * v[k]).sum() for k in range(len(v))) / len(v)}


def hutchinson_again(p, m):
    """sum_ij J_ij (mean_m v_m v_m^T)_ij."""
    v = p["probes"]
    return {"trace": (p["J"] * (v.T @ v / len(v))).sum()}


def kl_prior(p, m, a):
    """KL(N(sqrt(a) x0, (1-a) I) || N(0, I)) of each row."""
    x0 = p["x0"]
    each = a * x0 * x0 + (1 - a) - 1 - m.log(1 - a)
    return each.sum(axis=-1) / 2


def posterior(p, m, k):
    """q(x_{k-1} | x_k, x0) for k >= 1: factors of x0 and x_k, and the variance."""
    beta, bar = beta_of(p["schedule"], m), alpha_bar_of(p["schedule"], m)
    left = (1 - bar[k - 1]) / (1 - bar[k])
    c0 = m.sqrt(bar[k - 1]) * beta[k] / (1 - bar[k])
    return c0, m.sqrt(1 - beta[k]) * left, beta[k] * left


def noised(p, m, k):
    """x_k = sqrt(ab) x0 + sqrt(1 - ab) eps[k], and x0_hat from eps_hat[k]."""
    bar = alpha_bar_of(p["schedule"], m)[k]
    x = m.sqrt(bar) * p["x0"] + m.sqrt(1 - bar) * p["eps"][k]
    return x, (x - m.sqrt(1 - bar) * p["eps_hat"][k]) / m.sqrt(bar)


def elbo_terms(p, m):
    """KL_T, the consistency KLs of k = 1..T-1, and log N(x0 | x0_hat, beta_0 I)."""
    bar, beta = alpha_bar_of(p["schedule"], m), beta_of(p["schedule"], m)
    kls = []
    for k in range(1, p["schedule"]["T"]):
        c0, c, var = posterior(p, m, k)
        x, x0_hat = noised(p, m, k)
        mu, mu_hat = c0 * p["x0"] + c * x, c0 * x0_hat + c * x
        kls.append(gaussian_kl(p, mu - mu_hat, var, beta[k], m))
    off = p["x0"] - noised(p, m, 0)[1]
    return collected(kl_prior(p, m, bar[-1]), kls, normal(off, m, m.sqrt(beta[0])))


def collected(prior_kl, kls, reconstruction):
    """The terms, and the bound that they make."""
    return {
        "prior_kl": prior_kl,
        "kl": np.array(kls),
        "reconstruction": reconstruction,
        "elbo": reconstruction - prior_kl - sum(kls),
    }


def gaussian_kl(p, shift, var, beta, m):
    """KL of N(mu, var I) from N(mu_hat, v I), v = var if small, beta if large."""
    v = var if p["variance"] == "small" else beta
    each = shift * shift / v + var / v - 1 - m.log(var / v)
    return each.sum(axis=-1) / 2


def elbo_terms_again(p, m):
    """By squared errors of eps: beta^2 / (2 v alpha (1 - ab)) |eps - eps_hat|^2, and so on.

    Reconstruction: x0 - x0_hat = sqrt((1 - ab) / ab) (eps_hat - eps)
    """
    bar, beta = alpha_bar_of(p["schedule"], m), beta_of(p["schedule"], m)
    error = ((p["eps"] - p["eps_hat"]) ** 2).sum(axis=-1)
    d, kls = p["x0"].shape[-1], []
    for k in range(1, p["schedule"]["T"]):
        left = (1 - bar[k - 1]) / (1 - bar[k])
        v = beta[k] * (left if p["variance"] == "small" else 1)
        ratio = beta[k] * left / v
        far = beta[k] ** 2 / (2 * v * (1 - beta[k]) * (1 - bar[k])) * error[k]
        kls.append(far + d * (ratio - 1 - m.log(ratio)) / 2)
    far = (1 - bar[0]) / (2 * bar[0] * beta[0]) * error[0]
    reconstruction = -far - d * (m.log(2 * m.pi) + m.log(beta[0])) / 2
    x0, a = p["x0"], bar[-1]
    prior_kl = (a * (x0 * x0).sum(axis=-1) - d * (a + m.log(1 - a))) / 2
    return collected(prior_kl, kls, reconstruction)


def bits(p, m):
    """-(log_p / d + log width) / log 2, width = (high - low) / levels."""
    width = (p["high"] * 1 - p["low"]) / p["levels"]
    return {"bits": -(p["log_p"] / p["d"] + m.log(width)) / m.log(m.number(2.0))}


def bits_again(p, m):
    """-log_p / (d log 2) + log2(levels) - log2(high - low)."""
    two = m.log(m.number(2.0))
    offset = m.log(m.number(float(p["levels"]))) - m.log(p["high"] - p["low"] * 1)
    return {"bits": (offset - p["log_p"] / p["d"]) / two}


def only_log_p(f):
    """Only the log density."""
    return lambda p, m: {"log_p": f(p, m)["log_p"]}


def _flow_cases(times, more=None):
    def cases(large):
        for name, sde in SDES.items():
            for t_0, t_T in times:
                problem = {
                    "sde": sde,
                    "t_0": t_0,
                    "t_T": t_T,
                    "law": GAUSSIAN,
                    "prior_std": 50.0 if name == "ve" else 1.0,
                    "target": "score",
                    "time": "t",
                    **(more or {}),
                }
                yield Case(f"{name}/t{t_0:g}-{t_T:g}", problem, {"x": POINTS})

    return cases


def _trace_cases(large):
    for d, M in ((2, 3), (3, 3), (2, 1), (4, 5), (3, 1)):
        J, probes = draws(d, d, seed=d + 11), draws(M, d, seed=M + 23)
        signs = [[1.0 if v >= 0 else -1.0 for v in row] for row in probes]
        yield Case(f"d{d}/M{M}/normal", {}, {"J": J, "probes": probes})
        yield Case(f"d{d}/M{M}/signs", {}, {"J": J, "probes": signs})


def _elbo_cases(large):
    for name, schedule in (("linear-T5", SHORT), ("scaled-T12", MIDDLE)):
        T = schedule["T"]
        eps, off = np.array(draws(T, 3, 2)), np.array(draws(T, 3, 2, seed=5))
        inputs = {
            "x0": POINTS,
            "eps": eps.tolist(),
            "eps_hat": (eps + off / 4).tolist(),
        }
        for variance in ("small", "large"):
            problem = {"schedule": schedule, "variance": variance}
            yield Case(f"{name}/{variance}", problem, inputs)
    yield Case("linear-T5/small/d3", {"schedule": SHORT, "variance": "small"}, _deep())


def _deep():
    """Two points of three dimensions, where the half of d is not 1."""
    eps, off = np.array(draws(5, 2, 3)), np.array(draws(5, 2, 3, seed=5))
    x0 = [[1.25, -0.625, 0.375], [-0.4375, 2.125, -1.5]]
    return {"x0": x0, "eps": eps.tolist(), "eps_hat": (eps + off / 4).tolist()}


def _bits_cases(large):
    for low, high in ((-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5)):
        for levels in (256, 32, 2):
            problem = {"low": low, "high": high, "levels": levels, "d": 12}
            inputs = {"log_p": [-31.5, 12.25, 40.0, -3.0]}
            yield Case(f"{low:g}..{high:g}/levels{levels}", problem, inputs)


FLOW = (
    "Log density in nats of points x at t_0 under the probability flow of N(means[0], "
    "covs[0]) data from t_0 to t_T, and the prior N(0, prior_std^2 I) there; x_T is where "
    f"the flow leads. model(x, t) is the score of the noised data. {NOTE}"
)
FAMILIES = (
    Family(
        "gaussian_flow_loglik",
        "LAW",
        "loglik",
        "Song21 (39)",
        f"log_p, to rounding, as a closed form has it, and x_T. {FLOW}",
        flow_loglik,
        flow_loglik_again,
        _flow_cases(((0.0, 0.25), (0.0, 1.0), (0.125, 0.5))),
    ),
    Family(
        "flow_loglik",
        "LAW",
        "sample",
        "Song21 (39)",
        "log_p as a solver has it, within a bound: one answer (n) for each number of "
        f"steps; a solver that chooses its own steps gives the same twice. {FLOW}",
        only_log_p(flow_loglik),
        only_log_p(flow_loglik_again),
        _flow_cases(
            ((0.001, 1.0),),
            {"steps": [40, 80], "order": 0, "bound": 0.015625},
        ),
        {"log_p": "truncation"},
    ),
    Family(
        "hutchinson",
        "STEP",
        "loglik",
        "Song21 D.2; Hutchinson89 for the probes",
        "The estimate (1) of the trace of the matrix J from the probes (M, d): the mean of "
        "v^T J v.",
        hutchinson,
        hutchinson_again,
        _trace_cases,
    ),
    Family(
        "elbo_terms",
        "LAW",
        "loglik",
        "Ho20 (5); Chan v3 Thm 2.4",
        "Terms in nats for each x0 (n, d), x_k made with eps[k], and eps_hat[k] the model's "
        "answer there, k = 0..T-1. prior_kl (n): KL of q(x_T-1 | x0) from N(0, I). kl "
        "(T-1, n): KL of q(x_k-1 | x_k, x0) from N(mu_hat, v I), v its own variance "
        "(small) or beta_k (large). reconstruction (n): log N(x0 | x0_hat, beta_0 I) at "
        "k = 0. elbo (n): reconstruction - prior_kl - all of kl.",
        elbo_terms,
        elbo_terms_again,
        _elbo_cases,
    ),
    Family(
        "bits_per_dim",
        "TABLE",
        "table",
        "Theis16 for the dequantised density",
        "Bits per dimension of integers 0..levels-1 that lie in bins of [low, high], each "
        "(high - low) / levels wide, from the log density in nats of the scaled data.",
        bits,
        bits_again,
        _bits_cases,
        {"bits": "entry"},
    ),
)
