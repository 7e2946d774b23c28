"""The tiny job with JAX; with an argument, its compilation is cached on disk there."""

import sys

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)
if sys.argv[1:]:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
radius, std, tau = 1.4003, 0.14003, 0.005
angle = jnp.arange(8) * jnp.pi / 4
means = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1)


@jax.jit
def run(key, x):
    """All the steps."""

    def one(x, key):
        diff = means - x[:, None]
        p = jax.nn.softmax(-(diff**2).sum(-1) / (2 * std**2), axis=1)
        score = (p[..., None] * diff).sum(1) / std**2
        z = jax.random.normal(key, x.shape)
        return x + tau * score + (2 * tau) ** 0.5 * z, None

    return jax.lax.scan(one, x, jax.random.split(key, 100))[0]


x = run(jax.random.key(1), jax.random.normal(jax.random.key(0), (1000, 2)))
print(float(x.mean()), float(x.std()))
