"""What the findings are made with: NumPy beside diffusers alone."""

import contextlib
import inspect
import warnings
from unittest import mock

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # imports of optional parts that are not here
    import diffusers
    import torch

diffusers.utils.logging.set_verbosity_error()
X, EPS = np.array([[1.25, -0.625]]), np.array([[0.5625, -1.1875]])


def still(theirs, right, rtol=1e-3):
    """The right value is finite, and diffusers' is another."""
    assert np.all(np.isfinite(right))
    assert not np.allclose(theirs, right, rtol=rtol, atol=0), (
        f"diffusers {diffusers.__version__} agrees here: strike the finding"
    )


def t32(x):
    return torch.tensor(np.asarray(x), dtype=torch.float32)


def alpha_bar(T=1000, ends=(1e-4, 0.02)):
    return np.cumprod(1 - np.linspace(*ends, T))


@contextlib.contextmanager
def noise(cls, z):
    given = mock.patch.object(
        inspect.getmodule(cls), "randn_tensor", lambda *a, **k: t32(z), create=True
    )
    with given:
        yield
