"""PyTorch's competitors of the network: nn.Module and Adam, eager and compiled."""

import numpy as np
import torch
from torch import nn

from tests.bench.network import BATCHES, DECAY, LR, NET


class Net(nn.Module):
    """The network, as its users write it."""

    def __init__(self, params):
        super().__init__()
        pieces = [torch.from_numpy(p.copy()) for p in NET.views(params).values()]
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        layers = [self._linear(W, b) for W, b in pairs]
        silu = [nn.SiLU() for _ in layers]
        pairs = zip(layers, silu, strict=True)
        self.layers = nn.Sequential(*[part for pair in pairs for part in pair][:-1])
        frequency = np.pi * np.geomspace(0.5, 32, NET.frequencies) / NET.T
        self.register_buffer(
            "frequency", torch.tensor(frequency, dtype=pieces[0].dtype)
        )

    @staticmethod
    def _linear(W, b):
        linear = nn.Linear(*W.shape, dtype=W.dtype)
        linear.weight.data, linear.bias.data = W.T.contiguous(), b
        return linear

    def forward(self, x, t):
        angle = t[:, None] * self.frequency
        return self.layers(torch.cat([x, angle.sin(), angle.cos()], dim=1))

    def flat(self):
        """Return the parameters as one vector, in the package's order."""
        return np.concatenate([p.detach().numpy().T.ravel() for p in self.parameters()])


def _training(problem, wrap=lambda loss: loss, **adam):
    params, *batches = problem.parts()
    x, t, y = map(torch.from_numpy, batches)
    net = Net(params)
    loss = wrap(lambda x, t, y: ((net(x, t) - y) ** 2).sum(1).mean())

    def run(steps):
        net.load_state_dict(Net(params).state_dict())
        optimiser, ema = torch.optim.Adam(net.parameters(), lr=LR, **adam), Net(params)
        pairs = list(ema.parameters()), list(net.parameters())
        for k in range(steps):
            optimiser.zero_grad()
            loss(x[k % BATCHES], t[k % BATCHES], y[k % BATCHES]).backward()
            optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(*pairs, 1 - min(DECAY, (k + 1) / (k + 11)))
        return np.concatenate([net.flat(), ema.flat()])

    return run


def training(problem):
    """Return run(steps) as a user writes it."""
    return _training(problem)


def training_tuned(problem):
    """Return the same with Adam in one kernel."""
    return _training(problem, fused=True)


def training_compiled(problem):
    """Return the same with the loss and its gradient compiled too."""
    return _training(
        problem, lambda loss: torch.compile(loss, dynamic=False), fused=True
    )


def sampling(problem):
    """Return run(steps) as a user writes it."""
    net = Net(problem.params())
    start = torch.from_numpy(problem.start())

    @torch.no_grad()
    def run(steps):
        x = start
        table, times = map(torch.from_numpy, problem.table(steps))
        for (c_x, c_eps, c_z), t in zip(table, times, strict=True):
            eps = net(x, t.expand(len(x)))
            x = c_x * x + c_eps * eps + c_z * torch.randn_like(x)
        return x.numpy()

    return run


def _first_bias(net, times):
    """Return what the embedding adds to the first layer, once for each time."""
    angle = times[:, None] * net.frequency
    first = net.layers[0]
    emb = torch.cat([angle.sin(), angle.cos()], 1)
    return emb @ first.weight[:, NET.d :].T + first.bias


def _forward(x, bias, W0, weights):
    h = nn.functional.silu(torch.addmm(bias, x, W0), inplace=True)
    for W, b in weights[:-1]:
        h = nn.functional.silu(torch.addmm(b, h, W), inplace=True)
    W, b = weights[-1]
    return torch.addmm(b, h, W)


def _sampling(problem, rows, wrap=lambda step: step):
    """Blocks of rows that stay in the cache go through all steps."""
    net = Net(problem.params())
    W0 = net.layers[0].weight[:, : NET.d].T.contiguous()
    weights = [(m.weight.T, m.bias) for m in net.layers[2::2]]
    start = torch.from_numpy(problem.start())

    @wrap
    def step(x, z, bias, row):
        c_x, c_eps, c_z = row
        return c_x * x + c_eps * _forward(x, bias, W0, weights) + c_z * z

    @torch.no_grad()
    def run(steps):
        table, times = map(torch.from_numpy, problem.table(steps))
        biases, done = _first_bias(net, times), []
        for x in start.split(rows):
            for bias, row in zip(biases, table, strict=True):
                x = step(x, torch.randn_like(x), bias, row)
            done.append(x)
        return torch.cat(done).numpy()

    return run


def sampling_tuned(problem):
    """Return the same by hand: the embedding once a step, in place, blocks of rows."""
    return _sampling(problem, 2500)


def sampling_compiled(problem):
    """Return the same with the step compiled."""
    return _sampling(problem, 2500, lambda step: torch.compile(step, dynamic=False))
