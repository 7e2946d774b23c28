"""PyTorch's competitors in the chains: eager and compiled, as written and tuned."""

from functools import partial
from itertools import pairwise
from math import pi

import torch

from tests.bench import formulas

compiled = partial(torch.compile, dynamic=False)


def _tensors(*arrays):
    return [torch.from_numpy(array.copy()) for array in arrays]


def _levels(problem):
    log_w, means, _ = problem.mixtures()
    table, *levels = _tensors(problem.table, log_w, means, formulas.precisions(problem))
    return table, list(zip(*levels, strict=True))


def _score(x, level):
    return formulas.written_score(torch, partial(torch.softmax, dim=1), x, *level)


def _step(x, row, level):
    c_x, c_s, c_z = row
    return c_x * x + c_s * _score(x, level) + c_z * torch.randn_like(x)


def written(problem, wrap=lambda step: step):
    """Return the job as a user writes it: points (n, 2), components on an axis."""
    table, levels = _levels(problem)
    (start,), step = _tensors(problem.start()), wrap(_step)

    @torch.no_grad()
    def job():
        x = start
        for row, level in zip(table, levels, strict=True):
            x = step(x, row, level)
        return x.numpy()

    return job


def written_flow(problem, wrap=lambda step: step):
    """Return the same for Heun's method."""
    rows = list(zip(*_levels(problem), strict=True))
    (start,), step = _tensors(problem.start()), wrap(partial(formulas.heun, _score))

    @torch.no_grad()
    def job():
        x = start
        for now, after in pairwise(rows):
            x = step(x, *now, *after)
        return x.numpy()

    return job


def matmul_score(x, log_w, to_logits, to_score):
    """Score at x (2, n) by two products of matrices; squares are expanded, which costs
    digits: logits = M (x1, x2, x1^2, x1 x2, x2^2), score = the mean of P (m - x)."""
    squares = torch.stack([x[0] * x[0], x[0] * x[1], x[1] * x[1]])
    p = torch.softmax(torch.addmm(log_w, to_logits, torch.cat([x, squares])), 0)
    h1, h2, p11, p12, p22 = to_score @ p
    return torch.stack([h1 - p11 * x[0] - p12 * x[1], h2 - p12 * x[0] - p22 * x[1]])


def _matrices(problem):
    """Return what `matmul_score` needs at each level."""
    log_w, m, W = _tensors(*problem.mixtures())
    w11, w21, w22 = W.unbind(-1)
    P = torch.stack([w11**2 + w21**2, w21 * w22, w22**2], -1)
    h1 = P[..., 0] * m[..., 0] + P[..., 1] * m[..., 1]
    h2 = P[..., 1] * m[..., 0] + P[..., 2] * m[..., 1]
    log_w = log_w - (h1 * m[..., 0] + h2 * m[..., 1]) / 2
    half = P * P.new_tensor([-0.5, -1.0, -0.5])
    to_logits = torch.cat([torch.stack([h1, h2], -1), half], -1)
    to_score = torch.stack([h1, h2, *P.unbind(-1)], -2)
    return list(zip(log_w[..., None], to_logits, to_score, strict=True))


def tuned_eager(problem):
    """Return the job with the components summed by products of matrices."""
    (table,), levels = _tensors(problem.table), _matrices(problem)
    (start,) = _tensors(problem.start().T)

    @torch.no_grad()
    def job():
        x, z = start, torch.empty_like(start)
        for (c_x, c_s, c_z), level in zip(table, levels, strict=True):
            x = c_x * x + c_s * matmul_score(x, *level) + c_z * z.normal_()
        return x.T.numpy()

    return job


def tuned_eager_flow(problem):
    """Return the same for Heun's method."""
    rows = list(zip(*_tensors(problem.table), _matrices(problem), strict=True))
    (start,) = _tensors(problem.start().T)

    def score(x, level):
        return matmul_score(x, *level)

    @torch.no_grad()
    def job():
        x = start
        for now, after in pairwise(rows):
            x = formulas.heun(score, x, *now, *after)
        return x.T.numpy()

    return job


def _box_muller(u):
    radius, angle = torch.sqrt(-2 * torch.log1p(-u[0])), 2 * pi * u[1]
    return radius * torch.cos(angle), radius * torch.sin(angle)


def tuned_compiled(problem, box_muller=False):
    """Return the job as structure of arrays in one fused loop a step.

    Its normals are torch's, or made in that loop from torch's uniforms.
    """
    table, comps, start = _tensors(
        problem.table, formulas.components(problem), problem.start().T
    )

    @compiled
    def step(x, y, row, rows, noise):
        z1, z2 = _box_muller(noise) if box_muller else noise
        return formulas.soa_step(torch, x, y, row, rows, z1, z2)

    @torch.no_grad()
    def job():
        (x, y), noise = start, torch.empty_like(start)
        fill = noise.uniform_ if box_muller else noise.normal_
        for row, rows in zip(table, comps, strict=True):
            x, y = step(x, y, row, rows, fill())
        return torch.stack([x, y], 1).numpy()

    return job


def tuned_compiled_flow(problem):
    """Return the same for Heun's method."""
    tables = _tensors(problem.table, formulas.components(problem))
    rows = list(zip(*tables, strict=True))
    (start,), step = _tensors(problem.start().T), compiled(_soa_heun)

    @torch.no_grad()
    def job():
        x, y = start
        for now, after in pairwise(rows):
            x, y = step(x, y, *now, *after)
        return torch.stack([x, y], 1).numpy()

    return job


def _soa_heun(x, y, *tables):
    return formulas.soa_heun(torch, x, y, *tables)
