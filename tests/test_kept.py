"""Machine code that is kept: what it is given, where it lies, and when it is made anew."""

import os
import subprocess
import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType

import numba
import numpy as np
import pytest

from refdiff import _kept, kernel
from refdiff.compiled import ALONE, LEAN

pytestmark = pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="nothing is compiled, or kept"
)

JOB = """
import sys
import numpy as np
from refdiff import fast, langevin, toys
x = fast.run(langevin.langevin_chain(0.1, 10), toys.moons(), np.ones((100, 2)), seed=1)
print(x.tobytes().hex(), "numba" in sys.modules)
"""


def run(cache):
    """The end of JOB in a process of its own, and whether it imported numba."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-W", "error", "-c", JOB]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert not done.stderr
    end, imported = done.stdout.split()
    return end, imported == "True"


def test_a_second_process_does_without_numba(tmp_path):
    first = run(tmp_path)
    assert first[1] and len(list(tmp_path.glob("refdiff-*/run-*.o"))) == 1
    assert run(tmp_path) == (first[0], False)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """A source whose folder has no room for machine code, and a home that has."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # which is as if it were not set
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(_kept, "HERE", tmp_path / "here")
    monkeypatch.setattr(_kept, "SAID", threading.Event())
    (tmp_path / "here").mkdir()
    (tmp_path / "here/__pycache__").touch()
    return tmp_path / "home"


def test_where_the_source_may_not_be_written_to_it_is_kept_at_home(
    homeless, monkeypatch
):
    assert _kept._read("run.o") is None
    _kept._write("run.o", b"code")
    assert [file.name for file in files(homeless)] == ["run.o"]
    assert _kept._read("run.o") == b"code"
    monkeypatch.setattr(_kept, "HERE", homeless / "another")  # checkout, of other code
    assert _kept._read("run.o") is None


def test_code_of_another_version_is_not_read(homeless, monkeypatch):
    _kept._write("run.o", b"code")
    monkeypatch.setattr(_kept, "VERSION", b"another")
    assert _kept._read("run.o") is None


def test_the_version_is_of_all_sources_and_of_numba(tmp_path, monkeypatch):
    monkeypatch.setattr(_kept, "HERE", tmp_path)
    for name in _kept.SOURCES:
        (tmp_path / f"{name}.py").write_text("old")
    seen = {_kept._version(), _kept._version()}
    for name in _kept.SOURCES:
        (tmp_path / f"{name}.py").write_text("new")
        seen.add(_kept._version())
    (tmp_path / "_version.py").write_text("0")
    spec = ModuleSpec("numba", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(_kept, "find_spec", lambda name: spec)
    seen.add(_kept._version())
    assert len(seen) == 2 + len(_kept.SOURCES)


def test_where_sources_cannot_be_read_nothing_is_kept(homeless, monkeypatch):
    """As in an archive; the module can be imported, and compiles in each process."""
    assert _kept._version() is None  # the folder is empty
    monkeypatch.setattr(_kept, "VERSION", None)
    with pytest.warns(RuntimeWarning, match="each process .* cannot be read"):
        _kept._write("run.o", b"code")
    assert _kept._read("run.o") is None and not files(homeless)


def test_what_is_half_written_does_not_stay(homeless, monkeypatch):
    """As on a full disk; and it is told once, with what can be done."""

    def half(path, code):
        with open(path, "wb") as file:
            file.write(code[:3])
        raise OSError("no space left")

    monkeypatch.setattr(type(homeless), "write_bytes", half)
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR .* no space left") as told:
        [_kept._write(name, b"code") for name in ("run.o", "sample.o")]
    assert len(told) == 1 and not files(homeless)


def test_what_may_not_be_read_is_not(monkeypatch):
    def refuse(path):
        raise PermissionError

    monkeypatch.setattr(type(_kept.HERE), "read_bytes", refuse)
    assert _kept._read("run.o") is None


def test_kinds_of_arguments_are_told_apart():
    a = np.zeros((2, 2))
    many = a, a[0], a.astype("f4"), a.astype(int), (a, a), ((a,), a), (a, (a,)), 1, None
    kinds = {_kept._kind(one) for one in (*many, np.uint64(1), np.float32(1))}
    assert len(kinds) == len(many) + 2


@pytest.mark.parametrize(
    ("told", "compiles"),
    [("0", True), ("1", False), ("2", False), ("", True), ("00", True), ("x", True)],
)
def test_numba_is_switched_off_as_it_reads_its_own_variable(
    told, compiles, monkeypatch
):
    """Whoever asks compiled code otherwise calls what Python cannot."""
    assert _kept._compiles()
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert not _kept._compiles()
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not imported
    monkeypatch.setenv("NUMBA_DISABLE_JIT", told)
    assert _kept._compiles() == compiles


def test_numba_may_be_told_to_compile_for_any_processor(monkeypatch):
    """Its own rule: what is generic has no features but those that it is given."""
    of = _kept._processor.__wrapped__
    host, features = of()
    assert host and features
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert of() == ("generic", "")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2")
    assert of() == ("generic", "+avx2")
    monkeypatch.delenv("NUMBA_CPU_NAME")
    assert of() == (host, "+avx2")


def told(lo, hi, numbers, arrays, out):
    """Write down all that it is given."""
    whole, natural, double, single, none = numbers
    plane, (line, cube) = arrays
    out[0], out[1], out[2], out[3], out[4], out[5] = (
        lo,
        hi,
        whole,
        natural,
        double,
        single,
    )
    out[6] = 1 if none is None else 0
    out[7], out[8], out[9] = plane.shape[0], plane.shape[1], cube.shape[2]
    out[10] = plane[1, 2] + line[1]
    out[11] = cube[1, 0, 1]
    out[12] = natural >= np.uint64(2**63)
    out[13] = double * double - line[0]  # what rounding takes off, where they are fused


@pytest.fixture
def module(monkeypatch):
    """A module of functions that run alone, in the place of `kernel`."""
    made = ModuleType("made")
    made.told = numba.njit(**ALONE)(told)
    monkeypatch.setitem(sys.modules, "made", made)
    monkeypatch.setattr(_kept, "KERNEL", "made")
    monkeypatch.setattr(_kept, "FOUND", {})
    for cached in ("_processor", "_llvm"):
        monkeypatch.setattr(_kept, cached, getattr(_kept, cached).__wrapped__)
    return made


def arguments():
    plane, line = np.arange(6.0).reshape(2, 3), np.array([np.pi**2, -7])
    cube, out = np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.zeros(14)
    numbers = -(2**40), np.uint64(2**63 + 2**20), np.pi, np.float32(0.1), None
    return (*numbers[:2], np.float64(np.pi), *numbers[3:]), (plane, (line, cube)), out


def test_code_is_given_every_kind_of_number_and_of_array(module, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    *data, out = arguments()
    called, by_numba = _kept.function("told", *data, out), numba.njit(**LEAN)(told)
    want, fused = np.zeros(14), np.zeros(14)
    for lo, hi in ((3, -4), (2**50, 0)):
        called(lo, hi)
        told(lo, hi, *data, want)
        by_numba(lo, hi, *data, fused)
        np.testing.assert_array_equal(out[:-1], want[:-1])
        np.testing.assert_array_equal(out, fused)
    assert want[5] == float(np.float32(0.1)) != 0.1 and want[11] == 5


@pytest.mark.parametrize("damage", ["none", "cut", "changed", "empty"])
def test_a_damaged_file_is_made_anew(damage, module, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    *data, out = arguments()
    _kept.function("told", *data, out)
    (file,) = files(tmp_path)
    good = file.read_bytes()
    bad = {"none": good, "cut": good[:-1], "changed": good[:-1] + b"x", "empty": b""}
    file.write_bytes(bad[damage])
    assert (_kept._read(file.name) is None) == (damage != "none")
    monkeypatch.setattr(_kept, "FOUND", {})
    _kept.function("told", *data, out)(3, 4)
    assert out[1] == 4 and _kept._read(file.name) == good[32:]
    assert files(tmp_path) == [file]


def test_each_processor_and_each_setting_of_numba_has_a_file_of_its_own(
    module, tmp_path, monkeypatch
):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    *data, out = arguments()
    generic, slow = {"NUMBA_CPU_NAME": "generic"}, {"NUMBA_OPT": "0"}
    for count, told in (1, {}), (2, generic), (3, slow), (3, {}):
        with monkeypatch.context() as patch:
            patch.setattr(_kept, "FOUND", {})
            for name, value in told.items():
                patch.setenv(name, value)
            _kept.function("told", *data, out)(count, 0)
        assert len(files(tmp_path)) == count == out[0]


def test_arrays_that_are_not_in_one_piece_or_not_ours_are_refused(module):
    *data, out = arguments()
    theirs = out.copy()
    theirs.flags.writeable = False
    for bad in (np.zeros(26)[::2], theirs):
        with pytest.raises(ValueError, match="arrays must be in one piece"):
            _kept.function("told", *data, bad)


@pytest.mark.control
def test_numbers_that_are_not_what_the_code_takes_are_refused(module, monkeypatch):
    """As with a numba that passes arrays in another way."""
    *data, out = arguments()
    monkeypatch.setattr(_kept, "_read", lambda file: None)
    monkeypatch.setitem(_kept.FORMS, np.float64, "q")
    with pytest.raises(RuntimeError, match="told takes .* of this numba"):
        _kept.function("told", *data, out)


@pytest.mark.control
def test_code_that_fails_does_not_pass_unseen(module, monkeypatch):
    *data, out = arguments()
    monkeypatch.setattr(_kept, "_found", lambda *args: (lambda row: 1, None))
    with pytest.raises(RuntimeError, match="told failed"):
        _kept.function("told", *data, out)(0, 1)


def test_what_is_kept_is_what_numba_runs():
    """The same bits by numba's own call, of another compilation."""
    edges, means = np.zeros(0, np.uint64), np.ones((1, 1))
    seeds = np.uint64(1), np.uint64(3), np.uint64(2)
    roots, ends = np.full((1, 1, 1), 3.0), []
    room = [np.zeros(shape) for shape in 2 * [(1, 2, 64)] + [(2, 64)] + 3 * [(4, 64)]]
    room = (*room, np.zeros((4, 64), np.uint64))
    by_numba = numba.njit(**LEAN)(kernel.sample.py_func)
    for call in (
        _kept.function,
        lambda name, *args: lambda lo, hi: by_numba(lo, hi, *args),
    ):
        x = np.zeros((64, 1))
        call("sample", room, x, edges, means, roots, seeds)(0, 64)
        ends.append(x.tobytes())
    assert ends[0] == ends[1] and x.std() > 1
