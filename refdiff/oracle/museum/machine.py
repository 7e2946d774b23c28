"""What a machine does to a number: bfloat16, over zero, logarithms."""

import math

import numpy as np


def bfloat16(values, m):
    """Each number rounded to 8 significant bits, halves to even."""
    return m.number(np.vectorize(_eight_bits, otypes=[float])(values))


def _eight_bits(value):
    part, exponent = math.frexp(float(value))
    return math.ldexp(round(part * 256), exponent - 8)


def over(a, b, m):
    """Return a / b as a machine has it: infinite over zero, nan for 0/0."""
    infinite, nan = m.number(math.inf), m.number(math.nan)

    def divided(x, y):
        return x / y if y != 0 else (infinite if x != 0 else nan)

    return np.frompyfunc(divided, 2, 1)(a, b)


def log(values, m):
    """Logarithms as a machine has them: minus infinity of 0, nan of what is negative."""
    lowest, nan = m.number(-math.inf), m.number(math.nan)

    def logarithm(x):
        return m.log(x) if x > 0 else (lowest if x == 0 else nan)

    return np.frompyfunc(logarithm, 1, 1)(values)
