"""The outer step by trpo in PyTorch, as the older meta-RL code bases take it.

The same step as ``explorax.trust_region`` takes, by products with the Hessian of the KL: a
derivative of its gradient, as PyTorch has it.
"""

import math
from collections.abc import Callable, Iterable, Sequence

from benchmarks.host_learner import Batch, Gaussian, Learned, Tensor, act_again, outer_loss, torch
from explorax.config import MetaConfig


def trust_region_step(
    config: MetaConfig, learned: Learned, task_index: Tensor, pre: Batch, post: Batch
) -> None:
    """Moves what is learned, in place, by the longest natural step that holds; or not at all."""
    trpo, leaves = config.trpo, learned.leaves()

    def act(stride: int = 1) -> Gaussian:
        return act_again(learned, task_index, pre, post, stride)

    dist = act()
    loss = outer_loss(config, learned, task_index, dist, post)
    gradient = flat(torch.autograd.grad(loss, leaves))
    before = Gaussian(*(x.detach() for x in dist))
    product = curvature_product(act(trpo.curvature_stride), leaves, trpo.damping)
    x, residual = conjugate_gradients(product, gradient, trpo.num_cg_steps)
    length = math.sqrt(2.0 * trpo.max_kl / max(float(x @ (gradient - residual)), 1e-12))
    start = flat(leaves).detach()
    with torch.no_grad():
        for tries in range(trpo.max_backtracks):
            put(leaves, start - trpo.backtrack_ratio**tries * length * x)
            dist = act()
            lower = outer_loss(config, learned, task_index, dist, post) < loss
            if lower and kl(before, dist) <= trpo.max_kl:
                return
        put(leaves, start)


def curvature_product(
    dist: Gaussian, leaves: Sequence[Tensor], damping: float
) -> Callable[[Tensor], Tensor]:
    """v -> (H + damping I) v, H the Hessian of the mean KL(``dist`` || moved) in ``leaves``."""
    divergence = kl(Gaussian(*(x.detach() for x in dist)), dist)
    gradient = flat(torch.autograd.grad(divergence, leaves, create_graph=True))

    def product(v: Tensor) -> Tensor:
        return flat(torch.autograd.grad(gradient @ v, leaves, retain_graph=True)) + damping * v

    return product


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], target: Tensor, num_steps: int
) -> tuple[Tensor, Tensor]:
    """x with ``product(x)`` about ``target``, and what is left of it."""
    x, residual, direction = torch.zeros_like(target), target, target
    size = residual @ residual
    for _ in range(num_steps):
        if size == 0.0:
            break
        curved = product(direction)
        length = size / (direction @ curved)
        x, residual = x + length * direction, residual - length * curved
        new_size = residual @ residual
        direction, size = residual + new_size / size * direction, new_size
    return x, residual


def kl(old: Gaussian, new: Gaussian) -> Tensor:
    """Mean KL(old || new) of diagonal Gaussians, summed over the last axis."""
    variance = torch.exp(2.0 * old.log_std) + (old.mean - new.mean) ** 2
    of_each = new.log_std - old.log_std + 0.5 * variance * torch.exp(-2.0 * new.log_std) - 0.5
    return of_each.sum(-1).mean()


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """All numbers of tensors, one after the other."""
    return torch.cat([x.reshape(-1) for x in tensors])


def put(leaves: Sequence[Tensor], numbers: Tensor) -> None:
    """The inverse of ``flat``, in place."""
    for leaf, part in zip(leaves, numbers.split([x.numel() for x in leaves]), strict=True):
        leaf.copy_(part.reshape(leaf.shape))
