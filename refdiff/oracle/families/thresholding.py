"""Dynamic thresholding: x0_hat kept within what most of it fills."""

import numpy as np

from refdiff._check import Array, vectors


def dynamic_threshold(x0_hat: Array, ratio: float, most: float) -> Array:
    """Keep each row in -s..s and divide it by s.

    s = the quantile of |x0_hat| at ratio, over the row, at least 1 and at most `most`
    x0_hat (n, d)  ->  (n, d), within -1..1
    ValueError if ratio is outside 0..1 or most below 1.
    """
    (x0_hat,) = vectors(x0_hat=x0_hat)
    if not (0 <= ratio <= 1 <= most):
        raise ValueError(
            f"ratio must be in 0..1 and most at least 1; got {ratio}, {most}"
        )
    s = np.quantile(np.abs(x0_hat), ratio, axis=-1, keepdims=True)
    s = np.clip(s, 1, most)
    return np.clip(x0_hat, -s, s) / s
