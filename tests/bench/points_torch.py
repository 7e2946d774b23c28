"""PyTorch's competitors in drawing from a mixture."""

from math import pi

import torch
from torch import distributions


def _tensors(law):
    parts = law.weights, law.means, law.covs
    weights, means, covs = (torch.from_numpy(part.copy()) for part in parts)
    return weights, means, torch.linalg.cholesky(covs)


def sample(law):
    """Return run(n) by MixtureSameFamily."""
    weights, means, roots = _tensors(law)
    mixture = distributions.MixtureSameFamily(
        distributions.Categorical(weights),
        distributions.MultivariateNormal(means, scale_tril=roots),
    )
    return lambda n: mixture.sample((n,)).numpy()


def sample_tuned(law):
    """Return run(n) by one search for the components, and one gather."""
    weights, means, roots = _tensors(law)
    edges = weights.cumsum(0)[:-1]

    def run(n):
        k = torch.bucketize(torch.rand(n, dtype=torch.float64), edges)
        z = torch.randn(n, 2, 1, dtype=torch.float64)
        return (means[k] + (roots[k] @ z)[..., 0]).numpy()

    return run


def sample_compiled(law):
    """Return run(n) as one fused loop, normals by Box and Muller."""
    weights, means, roots = _tensors(law)
    edges = weights.cumsum(0)[:-1]
    a, b, c = roots[:, 0, 0].clone(), roots[:, 1, 0].clone(), roots[:, 1, 1].clone()
    m1, m2 = means.T.contiguous()

    @torch.compile(dynamic=False)
    def draw(u):
        k = (u[0][:, None] > edges).sum(1)
        radius, angle = torch.sqrt(-2 * torch.log1p(-u[1])), 2 * pi * u[2]
        z1, z2 = radius * torch.cos(angle), radius * torch.sin(angle)
        return torch.stack([m1[k] + a[k] * z1, m2[k] + b[k] * z1 + c[k] * z2], 1)

    return lambda n: draw(torch.rand(3, n, dtype=torch.float64)).numpy()
