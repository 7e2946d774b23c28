"""Train on two moons until the samples are good, with PyTorch, in the usual form.

Arguments: a seed, and "written" (a DataLoader, Adam) or "tuned" (batches drawn at once,
one kernel of Adam, a moving average of the weights; "compiled": the loss too).
"""

import copy
import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from refdiff import schedule, toys
from tests.bench.jobs.until import EVERY, MOST, N, T, judge

torch.set_num_threads(2)
seed, tuned, good = int(sys.argv[1]), sys.argv[2] != "written", judge(int(sys.argv[1]))
torch.manual_seed(seed)
sched = schedule.cosine(T)
signal, noise, alpha, beta = (
    torch.tensor(part, dtype=torch.float32)
    for part in (sched.signal, sched.noise, sched.alpha, sched.beta)
)
points = toys.moons().sample(100_000, np.random.default_rng(seed))
points = torch.tensor(points, dtype=torch.float32)


class Net(nn.Module):
    """eps_hat(x, t)."""

    def __init__(self):
        super().__init__()
        w = torch.pi / T * torch.logspace(-1, 5, 16, base=2)
        self.register_buffer("w", w)
        self.layers = nn.Sequential(
            nn.Linear(34, 128),
            nn.SiLU(),
            nn.Linear(128, 128),
            nn.SiLU(),
            nn.Linear(128, 128),
            nn.SiLU(),
            nn.Linear(128, 2),
        )

    def forward(self, x, t):
        angle = t[:, None] * self.w
        return self.layers(torch.cat([x, angle.sin(), angle.cos()], 1))


def loss_of(net, x0):
    """Squared error of the predicted noise."""
    t, eps = torch.randint(1, T + 1, (len(x0),)), torch.randn_like(x0)
    xt = signal[t, None] * x0 + noise[t, None] * eps
    return ((net(xt, t) - eps) ** 2).mean()


@torch.no_grad()
def sample(net):
    """Ancestral sampling."""
    x = torch.randn(N, 2)
    for t in range(T, 0, -1):
        eps = net(x, torch.full((N,), t))
        sigma = (beta[t] ** 0.5) * noise[t - 1] / noise[t]
        x = (x - beta[t] / noise[t] * eps) / alpha[t] ** 0.5
        x = x + sigma * torch.randn_like(x)
    return x.numpy()


def batches():
    """Batches of 256 points, forever."""
    loader = DataLoader(TensorDataset(points), batch_size=256, shuffle=True)
    while True:
        if tuned:
            yield points[torch.randint(len(points), (256,))]
        else:
            yield from (x for (x,) in loader)


net = Net()
loss = torch.compile(loss_of) if sys.argv[2] == "compiled" else loss_of
optimiser = torch.optim.Adam(net.parameters(), lr=2e-3, fused=tuned)
ema = copy.deepcopy(net) if tuned else net
for step, x0 in enumerate(batches(), 1):
    optimiser.zero_grad()
    loss(net, x0).backward()
    optimiser.step()
    if tuned:
        with torch.no_grad():
            pairs = list(ema.parameters()), list(net.parameters())
            torch._foreach_lerp_(*pairs, 1 - min(0.995, step / (step + 10)))
    if step % EVERY == 0 and (good(sample(ema)) or step == MOST):
        break
print(step)
