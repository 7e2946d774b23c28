"""The oracle's questions answered by somebody who thinks in eps_hat.

Written from the mathematics, with NumPy alone: whatever a model says becomes the noise
eps_hat of x = signal x0 + noise eps, and steps move along it. Differences are taken
naively (1 - alpha_bar); answers come in the type of the arrays of a question.
`single` is the same in float32, for the tables, which are asked without arrays.
"""

import sys

import numpy as np

from tests.writings.eps_form_grids import *
from tests.writings.eps_form_laws import *
from tests.writings.eps_form_samplers import *
from tests.writings.eps_form_solvers import *
from tests.writings.eps_form_steps import *
from tests.writings.eps_form_tables import *

name, dtype = "eps form", "float64"


class Single:
    """The same functions, told to work in float32."""

    name, dtype = "eps form, float32", "float32"

    def __getattr__(self, family):
        function = getattr(sys.modules[__name__], family)
        return lambda p: function({"float": np.float32} | p)


single = Single()
