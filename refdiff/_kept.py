"""Machine code that is kept in files: what was compiled once runs without numba.

numba takes longer to be imported than a small job takes to run. LLVM, which it compiles
with, does not, and loads what it has written. A file holds the code of one function for
one kind of arguments, one type of processor and one setting of numba, behind a digest of
it and of all that it was made from: where they do not agree, it is compiled anew.

What numba compiles takes (result*, error*, *arguments), of an array its owner, parent,
size, size of an item, place, shape and strides, and gives a status, which is 0.
"""

import ctypes
import hashlib
import os
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SOURCES = "elementary", "noise", "train", "_kept", "compiled", "kernel_noise"
SOURCES += "kernel_score", "kernel_net", "kernel"
KERNEL = "refdiff.kernel"
LOCK = threading.Lock()  # while one thread finds code, the others wait for it
FOUND = {}
SAID = threading.Event()
HERE = Path(__file__).parent
HARMLESS = "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS"  # other settings may change code

# How numbers lie in a row, eight bytes for each, in the letters of `struct`.
FORMS = {int: "q", np.uint64: "Q", type(None): "P", np.float64: "d", np.float32: "f4x"}


def function(name: str, *args: object) -> Callable[[int, int], None]:
    """KERNEL's name(lo, hi, *args) as a function of lo and hi; it is ALONE (`compiled`).

    args: numbers, None, arrays in one piece, and tuples of all these
    """
    if not _compiles():
        python = getattr(import_module(KERNEL), name)
        python = getattr(python, "py_func", python)
        return lambda lo, hi: python(lo, hi, *args)
    kind = f"{KERNEL} {name} {_kind(args)}"
    with LOCK:
        if kind not in FOUND:
            FOUND[kind] = _found(name, kind, args)
    code, _ = FOUND[kind]
    numbers = struct.pack(f"PPqq{_form(args)}P", 0, 0, 0, 0, *_numbers(args), 0)
    numbers = bytearray(numbers)
    start = ctypes.addressof(ctypes.c_char.from_buffer(numbers))
    nothing = start + len(numbers) - 8  # where a result and an error go, which are none
    struct.pack_into("PP", numbers, 0, nothing, nothing)

    def called(lo, hi):
        struct.pack_into("qq", numbers, 16, lo, hi)
        if code(start):
            raise RuntimeError(f"{name} failed, as what makes no arrays may not")

    called.args = args  # whose memory it works in
    return called


def _compiles():
    """Whether numba compiles, or would if it were imported."""
    config = getattr(sys.modules.get("numba"), "config", None)
    with suppress(ValueError):  # numba takes what is no number for 0
        told = os.environ.get("NUMBA_DISABLE_JIT", "0")
        return not (config.DISABLE_JIT if config else int(told))
    return True


def _kind(a):
    """What the code depends on in an argument."""
    if isinstance(a, tuple):
        return f"({' '.join(map(_kind, a))})"
    return f"{a.dtype.str}{a.ndim}" if isinstance(a, np.ndarray) else type(a).__name__


def _form(a):
    """The form of the numbers that the code takes for an argument."""
    if isinstance(a, tuple):
        return "".join(map(_form, a))
    return f"PPqqP{a.ndim * 'qq'}" if isinstance(a, np.ndarray) else FORMS[type(a)]


def _numbers(a):
    """These numbers: of an array all that numba has."""
    if isinstance(a, tuple):
        return [number for part in a for number in _numbers(part)]
    if not isinstance(a, np.ndarray):
        return [a or 0]
    if not a.flags.carray:
        raise ValueError(f"arrays must be in one piece, and ours; got {a.flags}")
    place, _ = a.__array_interface__["data"]
    return [0, 0, a.size, a.itemsize, place, *a.shape, *a.strides]


def _found(name, kind, args):
    """The code as a function: from its file, or compiled, and put there."""
    llvm, machine, linker = _llvm()
    kind = f"{kind} {machine.triple} {_processor()} {_settings()}"
    file = f"{name}-{hashlib.sha256(kind.encode()).hexdigest()[:16]}.o"
    code = _read(file)
    if code is None:
        code = _compiled(name, args, machine)
        _write(file, code)
    library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    library = library.export_symbol(name).link(linker, kind)
    entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(library[name])
    return entry, library  # which is unloaded with the last that refers to it


@cache
def _llvm():
    """LLVM, its code generator for this processor, and its linker."""
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    processor, features = _processor()
    machine = llvm.Target.from_default_triple().create_target_machine(
        processor, features, opt=3, codemodel="jitdefault", jit=True
    )
    return llvm, machine, llvm.create_lljit_compiler(machine)


@cache
def _processor():
    """Its name and its features, or those that numba is told to compile for."""
    from llvmlite import binding as llvm

    name, features = map(os.environ.get, ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"))
    if features is None and str(name).lower() != "generic":  # which has none
        features = llvm.get_host_cpu_features().flatten()
    return name or llvm.get_host_cpu_name(), features or ""


def _settings():
    """What else numba is told."""
    told = os.environ.items()
    return sorted(x for x in told if x[0].startswith("NUMBA_") and x[0] not in HARMLESS)


def _compiled(name, args, machine):
    """What LLVM writes of a function, and of one that calls it: see `_entry`."""
    import numba
    from llvmlite import binding as llvm

    function, context = getattr(import_module(KERNEL), name), llvm.create_context()
    signature = (numba.int64, numba.int64, *map(numba.typeof, args))
    function.compile(signature)
    made = llvm.parse_assembly(function.inspect_llvm(signature), context)
    own = [f for f in made.functions if f.linkage == llvm.Linkage.external]
    (called,) = (f for f in own if not f.is_declaration)  # what it calls is linkonce
    entry = _entry(name, called, f"PPqq{_form(args)}".replace("4x", ""))
    made.link_in(llvm.parse_assembly(str(entry), context))
    return machine.emit_object(made)


def _entry(name, called, form):
    """A module of one function, which calls another with numbers that lie in a row."""
    from llvmlite import ir

    word, status, place = ir.IntType(64), ir.IntType(32), ir.PointerType()
    unlike = {"d": ir.DoubleType(), "f": ir.FloatType(), "P": place}
    types = [unlike.get(letter, word) for letter in form]
    takes = [str(argument.type) for argument in called.arguments]
    if takes != list(map(str, types)):
        raise RuntimeError(f"{name} takes {takes} of this numba, and is given {types}")
    module = ir.Module()
    called = ir.Function(module, ir.FunctionType(status, types), called.name)
    entry = ir.Function(module, ir.FunctionType(status, [place]), name)
    code, (row,) = ir.IRBuilder(entry.append_basic_block()), entry.args
    places = [code.gep(row, [word(k)], source_etype=word) for k in range(len(types))]
    numbers = [code.load(at, typ=type) for at, type in zip(places, types, strict=True)]
    code.ret(code.call(called, numbers))
    return module


def _version():
    """What code is made from: numba, and sources as they are when they are imported.

    None where they cannot be read, as in an archive: then nothing is kept.
    """
    numba = Path(find_spec("numba").origin).with_name("_version.py")
    files = numba, *(HERE / f"{source}.py" for source in SOURCES)
    with suppress(OSError):
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()
    return None


VERSION = _version()


def _digest(code):
    return hashlib.sha256(VERSION + code).digest()


def _folders():
    """Where files are kept: in numba's folder if it has one, beside the source, at home."""
    ours = f"refdiff-{hashlib.sha256(bytes(HERE)).hexdigest()[:16]}"
    if os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(os.environ["NUMBA_CACHE_DIR"]) / ours]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [HERE / "__pycache__", Path(home) / ours]


def _read(file):
    """The code in a file, or None."""
    for folder in _folders() if VERSION else []:
        with suppress(OSError):
            kept = (folder / file).read_bytes()
            if _digest(kept[32:]) == kept[:32]:
                return kept[32:]
    return None


def _write(file, code):
    """Put code in a file, all at once, or say once that it cannot be."""
    why = "its sources cannot be read"
    for folder in _folders() if VERSION else []:
        part = folder / f"{file}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_digest(code) + code)
            return part.replace(folder / file)
        except OSError as reason:
            why = reason
            with suppress(OSError):
                part.unlink()
    return unkept(why)


def unkept(reason: object) -> None:
    """Say once that machine code is not kept."""
    if not SAID.is_set():
        SAID.set()
        remedy = "NUMBA_CACHE_DIR may name a folder to write to"
        told = f"kernels are compiled anew in each process ({remedy}): {reason}"
        warnings.warn(told, RuntimeWarning, stacklevel=2)
