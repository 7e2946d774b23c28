"""A whole adapter for the oracle by one who thinks in predicted data, x0_hat.

Everything that a model says becomes x0_hat first, and every step is written with it.
NumPy only, in plain floating point (1 - alpha_bar is a subtraction). It shows that the
oracle raises no alarm at a program which is right and shares nothing with it.
"""

import sys
from typing import Any

from tests.writings.x0_form_laws import *
from tests.writings.x0_form_losses import *
from tests.writings.x0_form_sde import *
from tests.writings.x0_form_solvers import *
from tests.writings.x0_form_steps import *
from tests.writings.x0_form_tables import *

name = "x0 form"
dtype = "float64"


class Single:
    """The same adapter with tables in float32 too, which no input asks for."""

    name, dtype = "x0 form, single", "float32"

    def __getattr__(self, family: str) -> Any:
        """A family's function, asked in float32."""
        function = getattr(sys.modules[__name__], family)
        return lambda p: function({**p, "dtype": "float32"})
