"""JAX's competitors in drawing from a mixture."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def _run(draw, law):
    parts = law.weights, law.means, np.linalg.cholesky(law.covs)
    parts = [jnp.asarray(part) for part in parts]
    keys = iter([*jax.random.split(jax.random.key(1), 100)])
    return lambda n: np.asarray(draw(next(keys), n, *parts))


def sample(law):
    """Return run(n) as a user writes it: a component each, then its Gaussian."""

    @partial(jax.jit, static_argnums=1)
    def draw(key, n, weights, means, roots):
        of_k, of_z = jax.random.split(key)
        k = jax.random.categorical(of_k, jnp.log(weights), shape=(n,))
        z = jax.random.normal(of_z, (n, 2), means.dtype)
        return means[k] + jnp.einsum("nij,nj->ni", roots[k], z)

    return _run(draw, law)


def sample_tuned(law):
    """Return run(n) as one fused loop: components by counting the edges below u."""

    @partial(jax.jit, static_argnums=1)
    def draw(key, n, weights, means, roots):
        of_k, of_z = jax.random.split(key)
        u = jax.random.uniform(of_k, (n,), means.dtype)
        k = sum((u > edge).astype(int) for edge in jnp.cumsum(weights)[:-1])
        z1, z2 = jax.random.normal(of_z, (2, n), means.dtype)
        x = means[k, 0] + roots[k, 0, 0] * z1
        return jnp.stack(
            [x, means[k, 1] + roots[k, 1, 0] * z1 + roots[k, 1, 1] * z2], 1
        )

    return _run(draw, law)
