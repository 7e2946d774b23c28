"""What all compiled code is built with: options, elementary functions, wide vectors.

Whoever reads the mathematics never has to open this file.
"""

import warnings
from contextlib import suppress
from pathlib import Path

from numba import config, njit, types
from numba.cpython.unsafe.numbers import viewer
from numba.extending import intrinsic, overload, register_jitable

from refdiff import elementary

# Python's division, which raises, would keep loops from being vectorised. In what is
# FUSED, a b + c may be rounded once. What is LEAN makes no arrays, and does not count who
# refers to those that it is given: in short functions counting is a tenth of the time.
EXACT = {"nogil": True, "error_model": "numpy", "fastmath": False, "_nrt": True}
FUSED = {**EXACT, "fastmath": {"contract"}}
LEAN = {**FUSED, "_nrt": False}
KEPT = {**FUSED, "cache": True}
SOURCES = "elementary", "noise", "train", "compiled", "kernel_noise"
SOURCES += "kernel_score", "kernel_net", "kernel"


def forget():
    """Remove what numba keeps of kernels, where it is older than one of their sources.

    numba itself looks at the file of the function alone, not at those it calls.
    """
    kept = Path(njit(cache=True)(lambda: None).stats.cache_path)
    files = (Path(__file__).with_name(f"{source}.py") for source in SOURCES)
    newest = max(file.stat().st_mtime for file in files)
    for index in kept.glob("kernel*.nbi"):
        with suppress(FileNotFoundError):  # another process forgets it too
            if index.stat().st_mtime < newest:
                index.unlink()


try:
    config.DISABLE_JIT or forget()
except (RuntimeError, OSError) as reason:  # there is no folder that numba may write to
    warnings.warn(f"kernels are compiled anew: {reason}", RuntimeWarning, stacklevel=2)
    KEPT = FUSED

# of 32 bits and of 64
both = (lambda dtype: elementary.SINGLE), (lambda dtype: elementary.DOUBLE)
overload(elementary.numbers)(lambda dtype: both[dtype.dtype.bitwidth // 64])
overload(elementary.view)(lambda x, T: lambda x, T: viewer(x, T))
for name in ("polynomial", "ln", "turn"):
    register_jitable(**EXACT)(getattr(elementary, name))
for name in ("turns", "split", "higher", "lower", "exp2", "exp"):
    register_jitable(**FUSED)(getattr(elementary, name))


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
