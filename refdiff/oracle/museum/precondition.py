"""A wrongly wrapped network, after EDM, and its weight."""

import math

from refdiff.oracle.museum.schedules import real, synthetic
from refdiff.oracle.truth.weights import edm_precondition, edm_weight


def _data_of(value):
    """sigma_data that the library has built in."""

    def wrong(family):
        return lambda p, m: family({**p, "sigma_data": m.number(value)}, m)

    return {
        "edm_precondition": wrong(edm_precondition),
        "edm_weight": wrong(edm_weight),
    }


def _with(**changes):
    """The preconditioning with one factor changed: change(right, sigma, data, m)."""

    def wrong(p, m):
        right = edm_precondition(p, m)
        for name, change in changes.items():
            right[name] = change(right[name], p["sigma"], p["sigma_data"], m)
        return right

    return {"edm_precondition": wrong}


def _sum_squared(p, m):
    s, d = p["sigma"], p["sigma_data"]
    return {"weight": (s * s + d * d) / (s + d) ** 2}


def _product_not_squared(p, m):
    s, d = p["sigma"], p["sigma_data"]
    return {"weight": (s * s + d * d) / (s * d)}


def _weight_inverted(p, m):
    return {"weight": 1 / edm_weight(p, m)["weight"]}


EXHIBITS = (
    real(
        "edm_weight=alphafold3",
        {"edm_weight": _sum_squared},
        "(s^2 + d^2) / (s + d)^2, as AlphaFold 3's text has it (LOS-09)",
        "(s^2 + d^2) / (s d)^2",
        "github.com/lucidrains/alphafold3-pytorch/issues/68",
        "convention",
    ),
    synthetic("data-half", _data_of(0.5), "sigma_data 0.5 built in", "as asked"),
    synthetic("data-1", _data_of(1.0), "sigma_data 1 built in", "as asked"),
    synthetic(
        "skip-root", _with(c_skip=lambda c, s, d, m: m.sqrt(c)), "d / r", "d^2 / r^2"
    ),
    synthetic(
        "skip-noise", _with(c_skip=lambda c, s, d, m: 1 - c), "s^2 / r^2", "d^2 / r^2"
    ),
    synthetic("out-sign", _with(c_out=lambda c, s, d, m: -c), "-s d / r", "s d / r"),
    synthetic(
        "out-ve", _with(c_out=lambda c, s, d, m: s), "sigma, as VE has it", "s d / r"
    ),
    synthetic("in-square", _with(c_in=lambda c, s, d, m: c * c), "1 / r^2", "1 / r"),
    synthetic(
        "noise-quarter", _with(c_noise=lambda c, s, d, m: 4 * c), "log s", "log(s) / 4"
    ),
    synthetic(
        "noise-half",
        _with(c_noise=lambda c, s, d, m: m.log(s / 2)),
        "log(s / 2), as VE has it",
        "log(s) / 4",
    ),
    synthetic(
        "noise-sigma", _with(c_noise=lambda c, s, d, m: s), "sigma", "log(sigma) / 4"
    ),
    synthetic(
        "noise-10",
        _with(c_noise=lambda c, s, d, m: c / m.number(math.log(10))),
        "log10",
        "natural logarithm",
    ),
    synthetic(
        "edm-product", {"edm_weight": _product_not_squared}, "/(s d)", "/(s d)^2"
    ),
    synthetic(
        "edm-inverse", {"edm_weight": _weight_inverted}, "c_out^2", "1 / c_out^2"
    ),
)
