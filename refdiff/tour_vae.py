"""The tour of a variational autoencoder: learn one of 2-D data, beside the exact truth.

It has the functions of `tour` that the command line asks for, so that either can run.
"""

import time
from collections.abc import Iterator

import numpy as np

from refdiff import train, vae
from refdiff._check import Array
from refdiff.autoencoder import VAE
from refdiff.data import Data
from refdiff.results import POINTS, Result, Run, distances, result
from refdiff.tour import BOX, Settings, descend

DRAWS = 16  # of the code, for each point of a bound


def network(settings: Settings, data: Data) -> VAE:
    """Return the tour's autoencoder: two latents, two hidden layers of 128 each way."""
    return VAE(data.exact.d, 2)


def training(
    settings: Settings, data: Data, state: train.State | None = None
) -> Iterator[train.State]:
    """Train the autoencoder in float32, from a fresh one or from a state.

    -> states up to `settings.steps`, each with minus the bound of its batch
    """
    net = network(settings, data)

    def loss_grad(params, rng):
        x = data.draw(settings.batch, rng)
        return net.loss(params, x, rng.standard_normal((len(x), net.k)))

    return descend(settings, loss_grad, net.init, state)


def compare(settings: Settings, data: Data, params: Array, n: int = 10_000) -> Result:
    """Draw n samples of the model, measure them against fresh data, estimate the bound."""
    net, rng, noise = network(settings, data), settings.rng(3), settings.rng(2)

    def fresh():
        return data.draw(n, rng)

    z, eps = noise.standard_normal((n, net.k)), noise.standard_normal(fresh().shape)
    began = time.perf_counter()
    x = net.sample(params, z, eps)
    seconds = time.perf_counter() - began
    found = distances(x, fresh), bound(settings, data, params)
    run = Run("decoder", "VAE", 1, seconds, x, x[None, :60], *found[0], found[1])
    return result(data, [run], fresh, settings.rng(5))


def bound(settings: Settings, data: Data, params: Array) -> tuple[float, float]:
    """Evidence lower bound of fresh data, in nats, and its standard error."""
    net, rng = network(settings, data), settings.rng(5)
    x = data.draw(POINTS, rng)
    mean, std = net.encode(params, x)
    eps, s = rng.standard_normal((DRAWS, *mean.shape)), np.exp(net.split(params)[2])
    values = vae.elbo_estimate(x, lambda z: net.decode(params, z), mean, std, eps, s)
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def picture(
    settings: Settings, data: Data, params: Array, result: Result, path: str
) -> None:
    """Write the picture: data, samples, reconstructions; codes, the decoder's sheet."""
    from refdiff import plots  # Matplotlib is loaded only when something is drawn

    net, rng, (run,) = network(settings, data), settings.rng(4), result.runs
    x = data.draw(5000, rng)
    mean, std = net.encode(params, x)
    z = vae.reparameterise(mean, std, rng.standard_normal(mean.shape))
    law = data.exact if data.exact.has_density else None
    fig, axes = plots.figure(2, 3)
    ratio = run.w2 / result.w2_floor
    plots.cloud(axes[0, 0], x, "data", plots.DATA, BOX, law)
    title = f"samples: {ratio:.1f} noise floors"
    plots.cloud(axes[0, 1], run.samples, title, plots.LEARNED, BOX, law)
    back = net.decode(params, z)
    plots.cloud(axes[0, 2], back, "decoded codes f(z) of data", plots.LEARNED, BOX, law)
    plots.cloud(axes[1, 0], z, "codes z of data, from q(z | x)", plots.DATA, BOX)
    fair = rng.standard_normal(z.shape)
    plots.cloud(axes[1, 1], fair, "codes z of samples, from N(0, I)", plots.EXACT, BOX)
    for ax in axes[1, :2]:
        ax.set(xlabel="$z_1$", ylabel="$z_2$")
    _draw_sheet(plots, axes[1, 2], net, params)
    fig.suptitle(f"{data.name}, standard units; {settings.note}", fontsize=10)
    plots.save(fig, path)


def _draw_sheet(plots, ax, net, params):
    """Draw the decoder's image of a grid of codes from -2 to 2."""
    line = np.linspace(-2, 2, 201)
    for at in np.linspace(-2, 2, 17):
        for z in (
            np.stack([line, 0 * line + at], 1),
            np.stack([0 * line + at, line], 1),
        ):
            f = net.decode(params, z)
            ax.plot(
                *(f if net.d == 2 else np.concatenate([z[:, :1], f], 1)).T,
                lw=0.7,
                color=plots.LEARNED,
                alpha=0.7,
            )
    ax.set_title("f of a grid of codes, |z| <= 2", fontsize=10)
    plots.plane(ax, BOX)
    if net.d == 1:
        ax.set(xlabel="$z_1$", ylabel="$f(z)$")
