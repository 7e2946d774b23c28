"""The variational autoencoder: two small networks, or two matrices and the exact answer.

z is the latent. The loss is minus the bound, so that it is minimised, in nats; every
gradient is written by hand. Parameters are one flat vector, as `train.fit` wants them.
"""

from dataclasses import dataclass
from operator import index

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, finite, generator
from refdiff.net import MLP
from refdiff.vae import Decoder, log_decoder, prior_kl, prior_kl_grad, reparameterise

LBFGS = {"maxiter": 20_000, "maxfun": 40_000, "gtol": 1e-9, "ftol": 1e-15}
START_S = 0.1  # the decoder's first deviation: from 1, the code of round data collapses


@dataclass(frozen=True)
class VAE:
    """Encoder q(z | x) = N(mean, diag(std^2)) and decoder p(x | z) = N(f(z), s^2 I).

    (mean, log std) and f are MLPs; s is one number, learned with them.
    d: dimension of x; k: of z; hidden: widths of both networks
    params (size,) = [encoder, decoder, log s]
    Source: Chan v3 Def 1.2, (1.2), (1.3), (1.21), (1.28), (1.29)
    Test: test_autoencoder.py::test_vae_loss_gradient
    """

    d: int
    k: int = 2
    hidden: tuple[int, ...] = (128, 128)

    @property
    def encoder(self) -> MLP:
        """Network from x to (mean, log std), which knows no time.

        Source: Chan v3 (1.2)
        Test: test_autoencoder.py::test_the_parts_are_the_networks
        """
        return MLP(self.d, 1.0, self.hidden, 0, 2 * self.k)

    @property
    def decoder(self) -> MLP:
        """Network f from z to the mean of x, which knows no time.

        Source: Chan v3 (1.28)
        Test: test_autoencoder.py::test_the_parts_are_the_networks
        """
        return MLP(self.k, 1.0, self.hidden, 0, self.d)

    @property
    def size(self) -> int:
        """Length of the parameter vector.

        Source: definition
        Test: test_autoencoder.py::test_the_parts_are_the_networks
        """
        return self.encoder.size + self.decoder.size + 1

    def split(self, params: Array) -> tuple[Array, Array, float]:
        """Cut the parameters into the encoder's, the decoder's and log s.

        Source: definition
        Test: test_autoencoder.py::test_the_parts_are_the_networks
        """
        if params.shape != (self.size,):
            raise ValueError(f"params must be ({self.size},); got shape {params.shape}")
        m = self.encoder.size
        return params[:m], params[m:-1], float(params[-1])

    def init(self, rng: np.random.Generator, dtype: type = float) -> Array:
        """Draw initial parameters: the code starts as the prior, f at random, s as 0.1.

        Source: definition
        Test: test_autoencoder.py::test_an_untrained_vae_is_the_prior
        """
        generator(rng)
        phi, theta = self.encoder.init(rng, dtype), self.decoder.init(rng, dtype)
        last = self.decoder.views(theta)[f"W{len(self.hidden)}"]
        last[:] = rng.standard_normal(last.shape) / np.sqrt(len(last))
        return np.concatenate([phi, theta, [np.log(START_S)]]).astype(dtype)

    def encode(self, params: Array, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of q(z | x).

        x (n, d)  ->  (n, k), (n, k)
        Source: Chan v3 (1.2)
        Test: test_autoencoder.py::test_the_parts_are_the_networks
        """
        out = self.encoder.predict(self.split(params)[0], x, 0.0)
        return out[:, : self.k], np.exp(out[:, self.k :])

    def decode(self, params: Array, z: Array) -> Array:
        """Mean f(z) of p(x | z).

        z (..., k)  ->  (..., d)
        Source: Chan v3 (1.28)
        Test: test_autoencoder.py::test_the_parts_are_the_networks
        """
        if z.shape[-1:] != (self.k,):
            raise ValueError(f"z must be (..., {self.k}); got shape {z.shape}")
        f = self.decoder.predict(self.split(params)[1], z.reshape(-1, self.k), 0.0)
        return f.reshape(*z.shape[:-1], self.d)

    def sample(self, params: Array, z: Array, eps: Array) -> Array:
        """Draw from the model: x = f(z) + s eps, where z and eps are standard normal.

        z (n, k), eps (n, d), 0 for the mean alone  ->  (n, d)
        Source: Chan v3 Box 1.3 inference
        Test: test_autoencoder.py::test_samples_have_the_models_law
        """
        if np.shape(eps) != (len(z), self.d):
            raise ValueError(f"eps must be ({len(z)}, {self.d}); got {np.shape(eps)}")
        return self.decode(params, z) + np.exp(self.split(params)[2]) * eps

    def loss(self, params: Array, x: Array, eps: Array) -> tuple[float, Array]:
        """Minus the bound, averaged over the batch, with one draw eps for each x.

        (1/n) sum_n [||x - f(z)||^2 / (2 s^2) + d/2 log(2 pi s^2) + prior_kl],
        z = mean + std eps
        x (n, d), eps (n, k)  ->  nats, gradient (size,)
        ValueError if a shape is wrong or an entry is not finite.
        Source: Chan v3 Thm 1.4, (1.14), (1.20), (1.27), (1.32)-(1.35). Departs: (1.35)
        prints + prior_kl.
        Test: test_autoencoder.py::test_vae_loss_gradient
        """
        x, eps = finite(x=x, eps=eps)
        if not len(x):
            raise ValueError("x must hold at least one point")
        if eps.shape != (len(x), self.k):
            raise ValueError(f"eps must be ({len(x)}, {self.k}); got shape {eps.shape}")
        phi, theta, log_s = self.split(params)
        out, cache = self.encoder.forward(phi, x.astype(params.dtype), 0.0)
        mean, std = out[:, : self.k], np.exp(out[:, self.k :])
        z = reparameterise(mean, std, eps)
        f, decoder_cache = self.decoder.forward(theta, z.astype(params.dtype), 0.0)
        n, s2 = len(x), np.exp(2 * log_s)
        value = (prior_kl(mean, std) - log_decoder(x, f, np.exp(log_s))).mean()

        df = (f - x) / (n * s2)
        d_theta, dz = self.decoder.backward(decoder_cache, df)
        kl_mean, kl_std = prior_kl_grad(mean, std)
        d_mean, d_std = dz + kl_mean / n, dz * eps + kl_std / n
        d_out = np.concatenate([d_mean, d_std * std], axis=1)
        d_phi, _ = self.encoder.backward(cache, d_out)
        d_log_s = np.array([self.d - (df * (f - x)).sum()], params.dtype)
        return float(value), np.concatenate([d_phi, d_theta, d_log_s])


def ppca(mean: Array, cov: Array, k: int) -> Decoder:
    """Probabilistic PCA of N(mean, cov): the best linear decoder with k latents.

    cov = U diag(lambda) U^T, lambda falling;  s^2 = mean of lambda[k:],
    C = U_k (lambda_k - s^2)^(1/2), up to a rotation of z;  v = mean
    mean (d,), cov (d, d), 0 < k < d  ->  Decoder(C (d, k), v, s^2 I)
    ValueError if k is not in 1..d-1, or cov has no variance left for s.
    Source: Tipping99 (7)-(8)
    Test: test_autoencoder.py::test_the_linear_vae_is_probabilistic_pca
    """
    mean, cov = _checked(mean, cov, k)
    value, U = np.linalg.eigh(cov)
    s2 = value[:-k].mean()
    if not s2 > 0:
        raise ValueError("cov must have rank above k, for s to be above 0")
    C = U[:, -k:] * np.sqrt(np.maximum(value[-k:] - s2, 0))
    return Decoder(C, mean, s2 * np.eye(len(mean)))


def _checked(mean, cov, k):
    """Mean (d,) and covariance (d, d) of some data, and a number k of latents below d."""
    mean, cov = finite(mean=mean, cov=cov)
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        shapes = f"{mean.shape} and {cov.shape}"
        raise ValueError(f"mean must be (d,) and cov (d, d); got {shapes}")
    if not 0 < index(k) < len(mean):
        raise ValueError(f"k must be in 1..{len(mean) - 1}; got {k}")
    gaussian.symmetric_root(cov)  # refuses what is no covariance
    return mean, cov


def linear_loss(params: Array, mean: Array, cov: Array, k: int) -> tuple[float, Array]:
    """Minus the expected bound of a linear VAE on data N(mean, cov), with no sampling.

    q(z | x) = N(A x + b, diag(std^2)),  p(x | z) = N(W z + v, s^2 I)
    E||r||^2 / (2 s^2) + d/2 log(2 pi s^2) + E prior_kl,  r = x - W z - v
    params = [A (k, d), b (k,), log std (k,), W (d, k), v (d,), log s]
    -> nats, gradient; the data enter by their mean and covariance alone
    Source: Lucas19 4; Chan v3 (1.35)
    Test: test_autoencoder.py::test_linear_loss_gradient
    """
    A, b, log_std, W, v, log_s = _linear_parts(params, len(mean), k)
    d, var, s2 = len(mean), np.exp(2 * log_std), np.exp(2 * log_s)
    R, code = np.eye(d) - W @ A, A @ mean + b
    rho = mean - W @ code - v  # E r
    error = np.trace(R @ cov @ R.T) + rho @ rho + var @ (W**2).sum(axis=0)
    kl = 0.5 * (np.trace(A @ cov @ A.T) + code @ code + (var - 1).sum()) - log_std.sum()
    value = 0.5 * error / s2 + d * (0.5 * gaussian.LOG_2PI + log_s) + kl

    dR = R @ cov / s2
    dW = W * (var / s2) - dR @ A.T - np.outer(rho, code) / s2
    dA = A @ cov + np.outer(code, mean) - W.T @ (dR + np.outer(rho, mean) / s2)
    db = code - W.T @ rho / s2
    d_log_std = var * (W**2).sum(axis=0) / s2 + var - 1
    pieces = dA, db, d_log_std, dW, -rho / s2, d - error / s2
    return float(value), np.concatenate([np.ravel(piece) for piece in pieces])


def _linear_parts(params, d, k):
    """A, b, log std, W, v, log s from the flat vector."""
    shapes = [(k, d), (k,), (k,), (d, k), (d,), ()]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    if params.shape != (ends[-1],):
        raise ValueError(f"params must be ({ends[-1]},); got shape {params.shape}")
    pieces = np.split(params, ends[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def fit_linear(
    mean: Array, cov: Array, k: int, rng: np.random.Generator
) -> tuple[Decoder, float]:
    """Minimise `linear_loss` from a random start: L-BFGS, then a root of the gradient.

    -> the decoder, and the expected bound in nats
    ValueError if cov is singular or k not in 1..d-1, or no minimum is found.
    Source: Lucas19 4
    Test: test_autoencoder.py::test_the_linear_vae_is_probabilistic_pca
    """
    from scipy.optimize import minimize, root

    generator(rng)
    (mean, cov), d = _checked(mean, cov, k), len(mean)
    gaussian.cholesky(cov)  # a singular one has no best s
    unit = np.trace(cov) / d  # the search sees data of mean 0 and variance about 1
    start = 0.3 * rng.standard_normal(2 * k * d + 2 * k + d + 1)
    data = (np.zeros(d), cov / unit, k)
    near = minimize(linear_loss, start, data, "L-BFGS-B", jac=True, options=LBFGS).x
    # Values are flat to rounding within 1e-7 of the minimum; the gradient is not.
    found = root(lambda params: linear_loss(params, *data)[1], near, tol=1e-13).x
    value, gradient = linear_loss(found, *data)
    if np.abs(gradient).max() > 1e-8 or value > linear_loss(near, *data)[0] + 1e-9:
        raise ValueError(f"no minimum found; gradient {np.abs(gradient).max():.1e}")
    *_, W, v, log_s = _linear_parts(found, d, k)
    decoder = Decoder(W * unit**0.5, mean + v, unit * np.exp(2 * log_s) * np.eye(d))
    return decoder, -value - d / 2 * np.log(unit)
