"""The few drawings that the tour and the figures share, for 1-D and 2-D data.

Each draws on an axes it is given and changes nothing else. One dimension is drawn as
densities and functions of x, two as clouds and fields in the plane.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from refdiff._check import Array
from refdiff.mixture import Mixture
from refdiff.train import atomic_write

DATA, LEARNED, EXACT, PATH = "#31688e", "#d1495b", "#2a9d5c", "#777777"


def figure(rows: int, columns: int, width: float = 3.0) -> tuple[Figure, Array]:
    """Figure with a grid of square axes, independent of pyplot's global state."""
    fig = Figure((width * columns, (width + 0.25) * rows), layout="constrained")
    return fig, fig.subplots(rows, columns, squeeze=False)


def save(fig: Figure, path: str | Path) -> None:
    """Write a PNG, whole or not at all."""
    atomic_write(path, lambda f: fig.savefig(f, format="png", dpi=80))


def save_gif(
    fig: Figure, path: str | Path, draws: Iterable[Callable[[], object]]
) -> None:
    """Write an animation, whole or not at all: a frame after each draw(), 10 a second."""
    from matplotlib.animation import PillowWriter

    writer, temporary = PillowWriter(10), Path(path).with_suffix(".tmp.gif")
    try:
        with writer.saving(fig, temporary, 80):
            for draw in draws:
                draw()
                writer.grab_frame()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def cloud(
    ax: Axes, x: Array, title: str, color: str, box: float, law: Mixture | None = None
) -> None:
    """Points in the plane, or a histogram; `law`'s density is drawn behind it in 1-D."""
    ax.set_title(title, fontsize=10)
    if x.shape[1] == 1:
        ax.hist(x[:, 0], 80, range=(-box, box), density=True, color=color, alpha=0.55)
        if law is not None:
            grid = np.linspace(-box, box, 400)
            ax.plot(grid, np.exp(law.logpdf(grid[:, None])), color="black", lw=1)
        ax.set_xlabel("x")
        ax.set_ylabel("density")
    else:
        ax.plot(*x[:1000].T, ".", ms=3, color=color, alpha=0.5, mew=0)
        plane(ax, box)


def field(
    ax: Axes,
    score: Callable[[Array], Array],
    law: Mixture,
    box: float,
    title: str,
    color: str,
) -> None:
    """Draw a score: arrows over law's density in the plane, beside law's score in 1-D."""
    ax.set_title(title, fontsize=10)
    if law.d == 1:
        grid = np.linspace(-box, box, 200)[:, None]
        ax.plot(grid, law.score(grid), color="black", lw=1, label="exact")
        ax.plot(grid, score(grid), color=color, lw=2, alpha=0.7, label="learned")
        ax.legend(fontsize=8, frameon=False)
        ax.set_xlabel("x")
        ax.set_ylabel("score")
        return
    fine = _grid(box, 120)
    density = np.exp(law.logpdf(fine)).reshape(120, 120)
    ax.imshow(
        density, extent=(-box, box, -box, box), origin="lower", cmap="Blues", alpha=0.8
    )
    coarse = _grid(box, 19)
    arrow = score(coarse)
    length = np.linalg.norm(arrow, axis=1, keepdims=True)
    arrow = arrow / np.maximum(length, 1e-9) * np.sqrt(length)  # lengths as roots
    ax.quiver(*coarse.T, *arrow.T, color=color, width=0.005)
    plane(ax, box)


def paths(
    ax: Axes, path: Array, box: float, title: str, color: str, first: str = "$x_T$"
) -> None:
    """Draw the ways of particles through the reverse chain, path (steps + 1, n, d)."""
    ax.set_title(title, fontsize=10)
    if path.shape[2] == 1:
        t = np.arange(len(path))[::-1]
        ax.plot(t, path[:, :, 0], lw=0.5, color=PATH, alpha=0.6)
        ax.plot(0 * path[-1], path[-1], ".", ms=4, color=color)
        ax.invert_xaxis()
        ax.set_xlabel("t")
        ax.set_ylabel("x")
        return
    few = path[:, :6]  # more would hide one another
    ax.plot(few[:, :, 0], few[:, :, 1], lw=0.9, alpha=0.7)
    ax.plot(*few[0].T, ".", ms=7, color="black", label=first)
    ax.plot(*few[-1].T, ".", ms=9, color=color, label="$x_0$")
    ax.legend(fontsize=8, frameon=False, loc="upper right")
    plane(ax, box)


def _grid(box, m):
    side = np.linspace(-box, box, m)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def plane(ax: Axes, box: float) -> None:
    """Set the limits and labels of an axes in the plane, as `cloud` does."""
    ax.set(xlim=(-box, box), ylim=(-box, box), xlabel="$x_1$", ylabel="$x_2$")
    ax.set_aspect("equal")
    ax.tick_params(labelsize=7)
