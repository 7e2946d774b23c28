"""The tiny job with PyTorch, eager; with an argument compiled, from a warm cache."""

import sys

import torch

torch.set_num_threads(2)
radius, std, tau = 1.4003, 0.14003, 0.005
angle = torch.arange(8) * torch.pi / 4
means = (radius * torch.stack([angle.cos(), angle.sin()], 1)).double()


def step(x):
    """One Langevin step."""
    diff = means - x[:, None]
    p = torch.softmax(-(diff**2).sum(-1) / (2 * std**2), dim=1)
    score = (p[..., None] * diff).sum(1) / std**2
    return x + tau * score + (2 * tau) ** 0.5 * torch.randn_like(x)


if sys.argv[1:]:
    step = torch.compile(step, dynamic=False)
x = torch.randn(1000, 2, dtype=torch.float64)
with torch.no_grad():
    for _ in range(100):
        x = step(x)
print(x.mean().item(), x.std().item())
