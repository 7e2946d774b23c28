"""The arithmetics a formula may be evaluated in: 50 digits, noisy, or a machine's.

The oracle's formulas are written once, in operators and the functions below, and an
arithmetic is passed to them. `Exact` gives the truth. `Noisy` puts a rounding error on
every operation, which shows how many digits a correct program may lose. `Machine` is
NumPy in some precision: what a museum's wrong formula gives on a computer.
Arrays are NumPy arrays, of 50-digit numbers (dtype object) or of floats.
"""

import math
import operator
import random

import numpy as np

DIGITS = 50
NOISE = 2.0**-40  # relative size of Noisy's errors: small, and far above 50 digits
UNIT = {  # unit roundoff of each precision
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
FUNCTIONS = ("sqrt", "exp", "log", "expm1", "log1p", "sin", "cos", "tanh", "erf")


def _context():
    """A private context of mpmath: nobody else's precision is touched."""
    import mpmath

    context = mpmath.mp.clone()
    context.dps = DIGITS
    return context


class Exact:
    """50-digit arithmetic. Floats enter without rounding, integers stay."""

    def __init__(self):
        self.mp = _context()
        self.pi = self.wrap(+self.mp.pi)
        for name in FUNCTIONS:
            setattr(self, name, np.frompyfunc(self._function(name), 1, 1))

    def _function(self, name):
        f = getattr(self.mp, name)
        return lambda x: self.wrap(f(self.mp.convert(x)))

    def wrap(self, value):
        """Return a number of this arithmetic, from one of the context."""
        return value

    def number(self, value):
        """Return a float, or an array of floats, as numbers; anything else passes as it is."""
        if isinstance(value, str | bool | dict | type(None)) or callable(value):
            return value
        if isinstance(value, list | tuple | np.ndarray):
            array = np.asarray(value)
            if array.dtype.kind != "f":
                return value
            made = [self.wrap(self.mp.mpf(v)) for v in array.ravel().tolist()]
            filled = np.empty(len(made), object)
            filled[:] = made
            return filled.reshape(array.shape)
        return value if isinstance(value, int) else self.wrap(self.mp.mpf(value))


class _Number:
    """A 50-digit number whose every operation makes a relative error of NOISE, up or down."""

    __slots__ = ("draw", "value")

    def __init__(self, value, draw):
        self.value, self.draw = value, draw

    def _apply(self, f, *others):
        plain = [getattr(o, "value", o) for o in others]
        return _Number(f(self.value, *plain) * self.draw(), self.draw)

    def __neg__(self):
        return _Number(-self.value, self.draw)

    def __abs__(self):
        return _Number(abs(self.value), self.draw)

    def __float__(self):
        return float(self.value)

    def __pow__(self, n):
        return self._apply(operator.pow, n)

    def __eq__(self, other):
        return self.value == getattr(other, "value", other)

    def __lt__(self, other):
        return self.value < getattr(other, "value", other)

    def __le__(self, other):
        return self.value <= getattr(other, "value", other)

    def __gt__(self, other):
        return self.value > getattr(other, "value", other)

    def __ge__(self, other):
        return self.value >= getattr(other, "value", other)

    __hash__ = None


def _operators():
    """Give _Number the four operations, from both sides."""
    for name in ("add", "sub", "mul", "truediv"):
        f = getattr(operator, name)

        def forward(self, other, f=f):
            if isinstance(other, np.ndarray):
                return NotImplemented
            return self._apply(f, other)

        def backward(self, other, f=f):
            return self._apply(lambda a, b: f(b, a), other)

        setattr(_Number, f"__{name}__", forward)
        setattr(_Number, f"__r{name}__", backward)


_operators()


class Noisy(Exact):
    """50-digit arithmetic with an error of +-NOISE on every operation, drawn by seed.

    What comes out differs from the truth as a correct program's answer does, enlarged
    by NOISE over the unit roundoff; inputs are exact.
    """

    def __init__(self, seed: int):
        rng = random.Random(seed)
        mp = _context()
        up, down = mp.mpf(1) + NOISE, mp.mpf(1) - NOISE
        self.draw = lambda: up if rng.getrandbits(1) else down
        super().__init__()

    def wrap(self, value):
        """Return a number that errs, from one of the context."""
        return _Number(value, self.draw)

    def _function(self, name):
        f = getattr(self.mp, name)

        def noisy(x):
            inner = getattr(x, "value", x)
            return self.wrap(f(self.mp.convert(inner)) * self.draw())

        return noisy


class Machine:
    """NumPy in one precision: float64 or float32."""

    def __init__(self, dtype: str = "float64"):
        self.dtype = np.dtype(dtype).type
        self.pi = self.dtype(math.pi)
        for name in FUNCTIONS:
            f = getattr(np, name, None) or np.vectorize(math.erf)
            setattr(self, name, lambda x, f=f: f(np.asarray(x, self.dtype))[()])

    def number(self, value):
        """Return a float or an array of this precision; what is no number passes."""
        if isinstance(value, str | bool | dict | type(None)) or callable(value):
            return value
        if isinstance(value, list | tuple | np.ndarray):
            array = np.asarray(value)
            return array.astype(self.dtype) if array.dtype.kind == "f" else value
        return value if isinstance(value, int) else self.dtype(value)
