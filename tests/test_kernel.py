"""The kernel's own arithmetic, and that it works wherever numba may not write."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mpmath
import numba
import numpy as np
import pytest

from refdiff import fast, kernel_noise, noise
from refdiff.mixture import Mixture

mpmath.mp.dps = 50

PACKAGE = Path(kernel_noise.__file__).parent


def worst_units(f, exact, points, num):
    """Largest error of f in units in the last place, against 50 digits."""
    units = []
    for x in points.astype(num.F):
        got, want = f(x, num), exact(mpmath.mpf(float(x)))
        units.append(abs(mpmath.mpf(float(got)) - want) / float(np.spacing(abs(got))))
    return float(max(units))


def two_to(x):
    return mpmath.mpf(2) ** x


@pytest.mark.oracle
@pytest.mark.parametrize("num", [noise.DOUBLE, noise.SINGLE], ids=["double", "single"])
def test_exp2_and_ln_are_within_a_unit_or_so_in_the_last_place(num):
    rng = np.random.default_rng(0)
    small = -(10.0 ** rng.uniform(-12, 0, 1000))
    points = np.concatenate([small, rng.uniform(float(num.floor), 0, 1000), [0.0]])
    with np.errstate(over="ignore"):
        assert worst_units(kernel_noise.exp2, two_to, points, num) < 1.3
    near_one = 1 - 10.0 ** rng.uniform(-6, 0, 1000)
    points = np.concatenate([near_one, 2.0 ** rng.uniform(-60, 6, 1000)])
    assert worst_units(kernel_noise.ln, mpmath.log, points, num) < 1


@pytest.mark.oracle
@pytest.mark.parametrize("num", [noise.DOUBLE, noise.SINGLE], ids=["double", "single"])
def test_a_pair_is_box_and_mullers_for_any_two_words(num):
    """Each angle once with a radius near 0 and once with one in the tail."""
    rng = np.random.default_rng(1)
    v = rng.integers(0, 2**64, 400, dtype=np.uint64)
    for w in (2**44 + 2**30, 2**63 + 2**40, 2**64 - 2**20):
        made = kernel_noise.pair(np.full(400, w, np.uint64), v, num)
        u = mpmath.mpf(float(num.F(1 - (w >> 12) / 2**52)))
        r = mpmath.sqrt(-2 * mpmath.log(u))
        for i in range(400):
            g = mpmath.mpf(float(num.F((int(v[i]) >> 12) / 2**52 - 0.5)))
            c = (-1) ** int(v[i] & np.uint64(1)) * mpmath.cospi(g)
            for got, want in zip(made, (r * c, r * mpmath.sinpi(g)), strict=True):
                unit = float(np.spacing(abs(got[i])))
                assert abs(mpmath.mpf(float(got[i])) - want) < 4 * unit


@pytest.mark.control
def test_a_shorter_polynomial_for_exp2_is_seen():
    short = noise.DOUBLE._replace(exp2=noise.SINGLE.exp2)
    points = np.linspace(-1, 0, 50)
    assert worst_units(kernel_noise.exp2, two_to, points, short) > 1e3


@pytest.mark.limit
def test_exp2_of_what_is_far_below_zero_is_almost_nothing():
    for num in (noise.DOUBLE, noise.SINGLE):
        tiny = 4 * np.finfo(num.F).smallest_normal
        for v in (num.floor, num.least, num.F(-np.inf)):
            assert 0 < kernel_noise.exp2(v, num) < tiny


CODE = """
import numpy as np
from refdiff import fast
from refdiff.mixture import Mixture
law = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
print(fast.sample(law, 3, 1).tobytes().hex())
"""


def test_where_numba_may_not_write_it_says_so_once_and_works(tmp_path):
    """Folders in place of which a file lies cannot be written to by anybody."""
    ignored = shutil.ignore_patterns("__pycache__", "oracle", "errata")
    shutil.copytree(PACKAGE, tmp_path / "refdiff", ignore=ignored)
    (tmp_path / "refdiff" / "__pycache__").touch()
    nowhere = str(tmp_path / "refdiff" / "__pycache__" / "x")
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), nowhere)
    env = {**os.environ, **places, "PYTHONPATH": str(tmp_path)}
    env.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-W", "always", "-c", CODE]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("Warning") == 1
    assert "RuntimeWarning: kernels are compiled anew" in done.stderr
    here = fast.sample(Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None]), 3, 1)
    assert done.stdout.strip() == here.tobytes().hex()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_vectors_may_be_wide():
    """The attribute is in what LLVM is given, and not without the call."""

    def widely(x):
        kernel_noise.wide()
        return x

    for function, asked in ((widely, True), (lambda x: x, False)):
        compiled = numba.njit(function)
        compiled(1.0)
        (code,) = compiled.inspect_llvm().values()
        assert ('"prefer-vector-width"="512"' in code) == asked
