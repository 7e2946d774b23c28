"""First light: a model learned from two moons, with the truth beside it.

The picture of `refdiff tour`. Look at the last two panels: the same sampler with the
learned and with the exact score, each at its distance to fresh data in noise floors
(1 is as good as fresh data). About 15 seconds.
"""

from pathlib import Path

from refdiff import tour
from refdiff.data import load_data

HERE = Path(__file__).parent


def main(out=HERE / "fig_0_01_first_light.png", seed=0, steps=4000, n=10_000):
    """Draw the figure; return the tour's result."""
    settings = tour.Settings(seed=seed, steps=steps)
    data = load_data(settings.data, settings.rng(0))
    *_, state = tour.training(settings, data)
    result = tour.compare(settings, data, state.ema, n)
    tour.picture(settings, data, state.ema, result, out)
    return result


if __name__ == "__main__":
    main()
