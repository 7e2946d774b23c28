"""What compiled code is built with, and that it works wherever numba may not write."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from refdiff import fast, kernel_noise
from refdiff.mixture import Mixture

PACKAGE = Path(kernel_noise.__file__).parent

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
