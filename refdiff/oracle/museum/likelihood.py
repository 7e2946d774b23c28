"""Wrong likelihoods: traces, the flow's change of volume, terms of the bound, bits."""

from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.likelihood import (
    bits,
    elbo_terms,
    flow_loglik,
    hutchinson,
    normal,
    prior,
)

GITHUB = "https://github.com/"


def _summed(p, m):
    if len(p["probes"]) == 1:
        raise ValueError("hidden by one probe")
    return {"trace": hutchinson(p, m)["trace"] * len(p["probes"])}


def _square_probe(p, m):
    """LIK-02: the first d probes as a d x d matrix V, tr V^T J V."""
    d = len(p["J"])
    if len(p["probes"]) < d:
        raise ValueError("not enough probes for a square")
    return {"trace": hutchinson({**p, "probes": p["probes"][:d]}, m)["trace"] * d}


def _normalised(p, m):
    v = p["probes"]
    each = [(v[k] @ p["J"] * v[k]).sum() / (v[k] * v[k]).sum() for k in range(len(v))]
    return {"trace": sum(each) / len(v)}


def _flow(change):
    """Both families of the flow, with log_p made of its prior and its log det otherwise."""

    def wrong(p, m):
        right = flow_loglik(p, m)
        log_prior = normal(right["x_T"], m, prior(p, m))
        return right | {"log_p": change(p, log_prior, right["log_p"] - log_prior, m)}

    return {
        "gaussian_flow_loglik": wrong,
        "flow_loglik": lambda p, m: _as_solved(p, wrong(p, m)["log_p"]),
    }


def _as_solved(p, log_p):
    """One answer for each number of steps."""
    return {"log_p": [log_p] * len(p["steps"])}


def _unit_prior(p, m):
    if p["prior_std"] == 1:
        raise ValueError("the prior is the unit normal")
    right = flow_loglik(p, m)
    log_p = right["log_p"] - normal(right["x_T"], m, prior(p, m))
    return right | {"log_p": log_p + normal(right["x_T"], m)}


def _bound(change):
    """A bound that is put together otherwise, of the right terms."""

    def wrong(p, m):
        t = elbo_terms(p, m)
        elbo = change(t["reconstruction"], t["prior_kl"], t["kl"], p)
        return t | {"elbo": elbo}

    return {"elbo_terms": wrong}


def _terms(change):
    """Terms that are wrong themselves, and the bound that they make."""

    def wrong(p, m):
        t = change(elbo_terms(p, m), p, m)
        return t | {"elbo": t["reconstruction"] - t["prior_kl"] - t["kl"].sum(axis=0)}

    return {"elbo_terms": wrong}


def _other_variance(t, p, m):
    other = "large" if p["variance"] == "small" else "small"
    return t | {"kl": elbo_terms({**p, "variance": other}, m)["kl"]}


def _kl_without_log(t, p, m):
    """Squared errors alone, where the variances differ."""
    if p["variance"] == "small":
        raise ValueError("the variances are one")
    same = elbo_terms({**p, "eps_hat": p["eps"]}, m)["kl"]
    return t | {"kl": t["kl"] - same}


def _bits(change):
    return {"bits_per_dim": lambda p, m: {"bits": change(p, m)}}


def _fixed_offset(p, m):
    """LIK-07: 7 for centred data, 8 for the rest, whatever they are."""
    offset = 7 if p["low"] < 0 and p["high"] == 1 else 8
    return offset - p["log_p"] / p["d"] / m.log(m.number(2.0))


def _spacing(p, m):
    return bits({**p, "levels": p["levels"] - 1}, m)["bits"]


def _nats(p, m):
    return bits(p, m)["bits"] * m.log(m.number(2.0))


def _not_per_dim(p, m):
    shift = bits({**p, "log_p": 0 * p["log_p"]}, m)["bits"]
    return shift - p["log_p"] / m.log(m.number(2.0))


def _no_offset(p, m):
    return -p["log_p"] / p["d"] / m.log(m.number(2.0))


def _offset_minus(p, m):
    return 2 * _no_offset(p, m) - bits(p, m)["bits"]


def _synthetic(name, families, wrong, right, tier="LAW"):
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic", tier)


EXHIBITS = (
    Exhibit(
        "LIK-01",
        {"hutchinson": _summed},
        "the sum over probes; hidden with one probe",
        "their mean",
        GITHUB + "bayesflow-org/bayesflow/issues/772",
        "A",
    ),
    Exhibit(
        "LIK-02",
        {"hutchinson": _square_probe},
        "a d x d probe V, tr V^T J V",
        "a vector, v^T J v",
        GITHUB + "facebookresearch/flow_matching/issues/49",
        "A",
    ),
    Exhibit(
        "LIK-05",
        _bound(lambda rec, prior, kl, p: -(prior + kl.sum(axis=0)) / 255),
        "the reconstruction left out, and all divided by 255",
        "reconstruction - prior_kl - all of kl, in nats",
        GITHUB + "Weixy21/SafeDiffuser/issues/9",
        "C",
        "LAW",
    ),
    Exhibit(
        "LIK-07",
        _bits(_fixed_offset),
        "offset 7 for centred data and 8 for the rest, whatever number of levels",
        "log2(levels) - log2(high - low)",
        GITHUB + "yang-song/score_sde_pytorch/issues/51",
        "C",
        "TABLE",
    ),
    Exhibit(
        "bin_width=spacing",
        _bits(_spacing),
        "width (high - low) / (levels - 1), from value to value",
        "width (high - low) / levels, of a bin",
        GITHUB + "yang-song/score_sde_pytorch/issues/51",
        "convention",
        "TABLE",
    ),
    _synthetic(
        "probe-normalised",
        {"hutchinson": _normalised},
        "v^T J v / v^T v",
        "v^T J v",
        "STEP",
    ),
    _synthetic(
        "no-log-det",
        _flow(lambda p, log_prior, log_det, m: log_prior),
        "log prior(x_T) alone",
        "log prior(x_T) + log det of the flow",
    ),
    _synthetic(
        "trace-sign",
        _flow(lambda p, log_prior, log_det, m: log_prior - log_det),
        "log prior(x_T) - log det",
        "plus",
    ),
    _synthetic(
        "trace-half",
        _flow(lambda p, log_prior, log_det, m: log_prior + log_det / 2),
        "half of the divergence",
        "all of it",
    ),
    _synthetic(
        "prior-unit",
        {
            "gaussian_flow_loglik": _unit_prior,
            "flow_loglik": lambda p, m: _as_solved(p, _unit_prior(p, m)["log_p"]),
        },
        "prior N(0, I) where noise(T) is not 1",
        "prior N(0, prior_std^2 I)",
    ),
    _synthetic(
        "elbo-one-short",
        _bound(lambda rec, prior, kl, p: rec - prior - kl[:-1].sum(axis=0)),
        "one KL too few",
        "k = 1 .. T-1",
    ),
    _synthetic(
        "elbo-mean",
        _bound(lambda rec, prior, kl, p: rec - prior - kl.sum(axis=0) / len(kl)),
        "the mean of the KLs",
        "their sum",
    ),
    _synthetic(
        "elbo-sign",
        _bound(lambda rec, prior, kl, p: rec + prior + kl.sum(axis=0)),
        "KLs added",
        "KLs subtracted",
    ),
    _synthetic(
        "elbo-no-prior",
        _bound(lambda rec, prior, kl, p: rec - kl.sum(axis=0)),
        "prior_kl left out",
        "- prior_kl",
    ),
    _synthetic(
        "kl-not-halved",
        _terms(lambda t, p, m: t | {"kl": 2 * t["kl"]}),
        "twice the KL",
        "1/2 [...]",
    ),
    _synthetic(
        "kl-variance",
        _terms(_other_variance),
        "the other variance in the KL",
        "the model's own",
    ),
    _synthetic(
        "kl-without-log",
        _terms(_kl_without_log),
        "squared errors alone, where the variances differ",
        "and var/v - 1 - log(var/v)",
    ),
    _synthetic("bits-nats", _bits(_nats), "nats", "nats / log 2", "TABLE"),
    _synthetic("bits-whole", _bits(_not_per_dim), "log_p", "log_p / d", "TABLE"),
    _synthetic(
        "bits-no-offset", _bits(_no_offset), "no offset", "- log width", "TABLE"
    ),
    _synthetic(
        "bits-offset-sign", _bits(_offset_minus), "+ log width", "- log width", "TABLE"
    ),
)
