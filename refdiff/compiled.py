"""What all compiled code is built with: options, elementary functions, wide vectors.

Whoever reads the mathematics never has to open this file.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from numba import config, njit, types
from numba.cpython.unsafe.numbers import viewer
from numba.extending import intrinsic, overload, register_jitable

from refdiff import _kept, elementary, noise

# Python's division, which raises, would keep loops from being vectorised. In what is not
# EXACT a b + c may be rounded once. Only what is ARRAYS or CACHED makes arrays, and counts
# who refers to one: in short functions counting is a tenth of the time. What is ALONE is
# called by `_kept`, and not by Python.
EXACT = {"nogil": True, "error_model": "numpy", "fastmath": False, "_nrt": False}
LEAN = {**EXACT, "fastmath": {"contract"}}
ALONE = {**LEAN, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
ARRAYS = {**LEAN, "_nrt": True}
CACHED = {**ARRAYS, "cache": True}


def forget():
    """Remove what numba keeps of kernels, where it is older than one of their sources.

    numba itself looks at the file of the function alone, not at those it calls.
    """
    kept = Path(njit(cache=True)(lambda: None).stats.cache_path)
    files = (Path(__file__).with_name(f"{source}.py") for source in _kept.SOURCES)
    newest = max(file.stat().st_mtime for file in files)
    for index in kept.glob("kernel*.nbi"):
        with suppress(FileNotFoundError):  # another process forgets it too
            if index.stat().st_mtime < newest:
                index.unlink()


try:
    config.DISABLE_JIT or forget()
except (RuntimeError, OSError) as reason:  # there is no folder that numba may write to
    _kept.unkept(reason)
    CACHED = ARRAYS


def inside(options: dict, *functions: Callable) -> None:
    """Let compiled code call Python's functions, which are compiled into it."""
    for function in functions:
        register_jitable(**options)(function)


# of 32 bits and of 64
both = (lambda dtype: elementary.SINGLE), (lambda dtype: elementary.DOUBLE)
overload(elementary.numbers)(lambda dtype: both[dtype.dtype.bitwidth // 64])
overload(elementary.view)(lambda x, T: lambda x, T: viewer(x, T))
inside(EXACT, elementary.polynomial, elementary.ln, elementary.turn)
inside(EXACT, noise.splitmix, noise.seeded, noise.xoshiro, noise.mantissa)
inside(EXACT, noise.uniforms, noise.radius, noise.cartesian)
inside(LEAN, elementary.split, elementary.higher, elementary.lower)
inside(LEAN, elementary.exp2, elementary.exp, elementary.turns)


def attributed(*attributes):
    """A function that gives the compiled one that calls it attributes of LLVM's."""

    @intrinsic
    def put(typing):
        def build(context, builder, signature, args):
            for attribute in attributes:
                set.add(builder.function.attributes, attribute)  # unchecked by llvmlite
            return context.get_dummy_value()

        return types.none(), build

    def asked():
        pass

    overload(asked, inline="always")(lambda: lambda: put())
    return asked


# Loops may work on vectors of 512 bits, where LLVM would take 256, and registers that
# are spilled to the stack are aligned to lines of the cache.
wide = attributed('"prefer-vector-width"="512"', '"stackrealign"')
inlined = attributed("alwaysinline")
