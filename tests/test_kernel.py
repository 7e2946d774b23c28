"""What compiled code is built with, and that it works wherever numba may not write."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from refdiff import _kept, compiled, fast
from refdiff.mixture import Mixture

PACKAGE = Path(compiled.__file__).parent

of_numba = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")

CODE = """
import numpy as np
from refdiff import fast
from refdiff.mixture import Mixture
law = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
print(fast.sample(law, 3, 1).tobytes().hex())
"""


def copied(folder):
    """Copy the package without what is compiled."""
    ignored = shutil.ignore_patterns("__pycache__", "oracle", "errata")
    return Path(shutil.copytree(PACKAGE, folder / "refdiff", ignore=ignored))


def samples(folder, **places):
    """Run CODE in a process of its own on the package in a folder."""
    env = {**os.environ, **places, "PYTHONPATH": str(folder)}
    env.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-W", "always", "-c", CODE]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=True
    )


def test_where_numba_may_not_write_it_says_so_once_and_works(tmp_path):
    """Folders in place of which a file lies cannot be written to by anybody."""
    nowhere = copied(tmp_path) / "__pycache__"
    nowhere.touch()
    names = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
    done = samples(tmp_path, **dict.fromkeys(names, str(nowhere / "x")))
    assert done.stderr.count("Warning") == 1
    assert "RuntimeWarning: kernels are compiled anew" in done.stderr
    here = fast.sample(Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None]), 3, 1)
    assert done.stdout.strip() == here.tobytes().hex()


@pytest.mark.control
def test_what_is_compiled_of_a_source_that_has_changed_is_forgotten(tmp_path):
    """numba itself sees no change in a file that the function calls into."""
    source, cache = copied(tmp_path) / "noise.py", str(tmp_path / "cache")

    def run():
        done = samples(tmp_path, NUMBA_CACHE_DIR=cache)
        return done.stdout, [
            file.stat().st_mtime_ns for file in Path(cache).rglob("*.nbi")
        ]

    first, again = run(), run()
    assert first == again
    text = source.read_text()
    assert text.count("np.sqrt(-num.two * ln(abs(u), num))") == 1
    source.write_text(text.replace("np.sqrt(-num.two *", "np.sqrt(-num.one *"))
    assert run()[0] != first[0]


@of_numba
@pytest.mark.parametrize("index", ["kernel.run", "kernel_net.update"])
@pytest.mark.parametrize("source", _kept.SOURCES)
def test_a_change_in_any_source_makes_every_kernel_forgotten(
    source, index, tmp_path, monkeypatch
):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    compiled.forget()
    (folder,) = (tmp_path / "cache").iterdir()
    for name in _kept.SOURCES:
        (tmp_path / f"{name}.py").touch()
        os.utime(tmp_path / f"{name}.py", (1, 1))
    kept = folder / f"{index}.nbi"
    kept.touch()
    os.utime(kept, (2, 2))
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    compiled.forget()
    assert kept.exists()
    os.utime(tmp_path / f"{source}.py", (3, 3))
    compiled.forget()
    assert not kept.exists()


def test_every_module_that_kernels_import_is_one_of_their_sources():
    """One that is left out may change, and old machine code would run on."""
    needed = {path.stem for path in PACKAGE.glob("kernel_*.py")} | {
        "kernel",
        "compiled",
    }
    for path in [PACKAGE / f"{name}.py" for name in needed]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("refdiff"):
                inside = node.module.split(".")[1:] or [
                    alias.name for alias in node.names
                ]
                needed |= set(inside)
    assert needed == set(_kept.SOURCES)


@of_numba
@pytest.mark.parametrize(
    ("asks", "attributes"),
    [
        (compiled.wide, {'"prefer-vector-width"="512"', '"stackrealign"'}),
        (compiled.inlined, {"alwaysinline"}),
        (None, set()),
    ],
    ids=["wide", "inlined", "none"],
)
def test_attributes_are_in_what_llvm_is_given_and_not_unasked(asks, attributes):
    def asking(x):
        if asks is not None:
            asks()
        return x

    built = numba.njit(asking)
    built(1.0)
    (code,) = built.inspect_llvm().values()
    known = {'"prefer-vector-width"="512"', '"stackrealign"', "alwaysinline"}
    assert {attribute for attribute in known if attribute in code} == attributes


ALONE = """
import numpy as np
from numba import njit
from refdiff import fast_net, kernel_score
from refdiff.compiled import LEAN
from refdiff.net import MLP

net, x = MLP(2, 10), np.ones((3, 2))
params = net.init(np.random.default_rng(0))
print(fast_net.loss_grad(net, params, x, np.ones(3), x, np.ones(3))[0] > 0)

@njit(**LEAN)
def weighted(X, t, g):
    kernel_score.eight(X, t, 0, 0, g, kernel_score.five)

weighted(np.ones((1, 2, 64)), np.ones((1, 8, 5)), g := np.zeros((4, 64)))
(code,) = weighted.inspect_asm().values()
made = "_ZN7refdiff12kernel_score"
print((g[2] > 0).all(), made + "5eight" in code and made + "4each" not in code)
"""


@of_numba
def test_each_module_compiles_by_itself_and_eight_weights_call_nothing(tmp_path):
    """In a process that has compiled nothing yet, with an empty cache."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["True"] * 3, done.stderr
