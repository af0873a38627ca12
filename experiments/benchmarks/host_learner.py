"""MAESN's learning in PyTorch: the policy, the inner step on latents, the outer loss.

The same numbers as ``explorax.adapt`` and ``explorax.outer`` make of the same episodes.
"""

import math
from itertools import pairwise
from typing import Any, NamedTuple

from explorax.config import MetaConfig
from extras import import_extra

torch: Any = import_extra("torch", "torch", wanted_by="sections")
Tensor = Any
LOG_2PI = math.log(2.0 * math.pi)


class Gaussian(NamedTuple):
    """Mean and log of the deviation, of equal trailing size."""

    mean: Tensor
    log_std: Tensor


class Theta(NamedTuple):
    """A ReLU network on [obs, z], and one log-deviation of actions."""

    weights: tuple[Tensor, ...]  # (outputs, inputs) of each layer
    biases: tuple[Tensor, ...]
    log_std: Tensor  # (A,)


class Learned(NamedTuple):
    """What the outer step learns."""

    theta: Theta
    latent: Gaussian  # of every training task, leaves (M, L)
    step_sizes: Gaussian  # alpha of mean and log_std, leaves (L,)

    def leaves(self) -> list[Tensor]:
        """All tensors."""
        weights, biases, log_std = self.theta
        return [*weights, *biases, log_std, *self.latent, *self.step_sizes]


class Episodes(NamedTuple):
    """Of N tasks K episodes of T steps each; numpy arrays, or tensors."""

    obs: Any  # (N, K, T, O), before the action
    action: Any  # (N, K, T, A)
    log_prob: Any  # (N, K, T)
    reward: Any  # (N, K, T)
    latent: Any  # (N, K, L)
    latent_noise: Any  # (N, K, L)


class Batch(NamedTuple):
    """Episodes as tensors, with their advantages."""

    episodes: Episodes
    advantage: Tensor  # (N, K, T), standardised by task
    episode_advantage: Tensor  # (N, K), standardised by task


def initial(config: MetaConfig, obs_size: int, action_size: int, seed: int) -> Learned:
    """Random weights of the usual size, a small last layer, latents about 0."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (obs_size + config.latent_dim, *config.hidden_sizes, action_size)
    pairs = list(pairwise(sizes))
    draw = [torch.randn(out, n, generator=generator) / math.sqrt(n) for n, out in pairs]
    draw[-1] *= 0.01
    shape = (config.num_train_tasks, config.latent_dim)
    mean = config.init_latent_std * torch.randn(shape, generator=generator)
    learned = Learned(
        Theta(
            tuple(draw),
            tuple(torch.zeros(out) for _, out in pairs),
            torch.full((action_size,), math.log(config.init_action_std)),
        ),
        Gaussian(mean, torch.zeros(shape)),
        Gaussian(
            torch.full((config.latent_dim,), config.inner_lr_mean),
            torch.full((config.latent_dim,), config.inner_lr_log_std),
        ),
    )
    for leaf in learned.leaves():
        leaf.requires_grad_(True)
    return learned


def act(theta: Theta, obs: Tensor, latent: Tensor) -> Gaussian:
    """The distribution of actions; ``latent`` has the leading axes of ``obs``."""
    x = torch.cat([obs, latent], dim=-1)
    *hidden, last = zip(theta.weights, theta.biases, strict=True)
    for weight, bias in hidden:
        x = torch.relu(torch.nn.functional.linear(x, weight, bias))
    mean = torch.nn.functional.linear(x, *last)
    return Gaussian(mean, theta.log_std.expand_as(mean))


def log_prob(dist: Gaussian, value: Tensor) -> Tensor:
    """Of a diagonal Gaussian, summed over the last axis."""
    standard = (value - dist.mean) * torch.exp(-dist.log_std)
    return -(0.5 * standard**2 + dist.log_std + 0.5 * LOG_2PI).sum(-1)


def sample(dist: Gaussian, noise: Tensor) -> Tensor:
    """From noise ~ N(0, I)."""
    return dist.mean + torch.exp(dist.log_std) * noise


def appraise(config: MetaConfig, episodes: Episodes) -> Batch:
    """Tensors and advantages: returns less a linear baseline that is fitted to each task."""
    episodes = Episodes(*map(torch.as_tensor, episodes))
    target = torch.empty_like(episodes.reward)
    later = torch.zeros_like(target[..., 0])
    for t in reversed(range(target.shape[-1])):
        later = episodes.reward[..., t] + config.discount * later
        target[..., t] = later
    advantage = target - linear_baseline(episodes.obs, target)
    floor = 1e-5 * target.abs().amax(dim=(1, 2))
    return Batch(
        episodes,
        standardised(advantage.flatten(1), floor).reshape(target.shape),
        standardised(advantage[..., 0], floor),
    )


def linear_baseline(obs: Tensor, target: Tensor, ridge: float = 1e-5) -> Tensor:
    """Ridge regression of each task's returns on ``explorax.returns.baseline_features``."""
    clipped = obs.clamp(-10.0, 10.0)
    t = torch.arange(obs.shape[-2], dtype=obs.dtype)[:, None] / 100.0
    time = torch.cat([t, t**2, t**3], dim=-1).expand(*obs.shape[:-1], 3)
    features = torch.cat([clipped, clipped**2, time], dim=-1).flatten(1, 2)
    features = features - features.mean(1, keepdim=True)
    features = features / ((features**2).mean(1, keepdim=True).sqrt() + 1e-4)
    flat = target.flatten(1)[..., None]
    mean = flat.mean(1, keepdim=True)
    num_samples = features.shape[1]
    gram = features.mT @ features / num_samples + ridge * torch.eye(features.shape[-1])
    solution = torch.linalg.solve(gram, features.mT @ (flat - mean) / num_samples)
    return (features @ solution + mean).reshape(target.shape)


def standardised(x: Tensor, floor: Tensor) -> Tensor:
    """Each row with mean 0 and deviation 1; 0 where the deviation is below its ``floor``."""
    centred = x - x.mean(-1, keepdim=True)
    std = (centred**2).mean(-1, keepdim=True).sqrt()
    return torch.where(std > floor[:, None], centred / std, torch.zeros_like(x))


def adapt(learned: Learned, task_index: Tensor, batch: Batch) -> Gaussian:
    """The inner step on the latents of the drawn tasks, as a differentiable function."""
    with torch.enable_grad():
        latent = Gaussian(*(x[task_index] for x in learned.latent))
        of_tasks = Gaussian(*(x[:, None] for x in latent))
        score = log_prob(of_tasks, batch.episodes.latent) * batch.episode_advantage
        gradient = torch.autograd.grad(score.mean(-1).sum(), latent, create_graph=True)
    moved = zip(latent, learned.step_sizes, gradient, strict=True)
    return Gaussian(*(x + a * g for x, a, g in moved))


def act_again(
    learned: Learned, task_index: Tensor, pre: Batch, post: Batch, stride: int = 1
) -> Gaussian:
    """Actions after the inner step at every n-th step of the recorded episodes, (N, K, T, A)."""
    adapted, episodes = adapt(learned, task_index, pre), post.episodes
    z = sample(Gaussian(*(x[:, None] for x in adapted)), episodes.latent_noise)
    obs = episodes.obs[:, :, ::stride]
    return act(learned.theta, obs, z[:, :, None].expand(*obs.shape[:-1], z.shape[-1]))


def outer_loss(
    config: MetaConfig, learned: Learned, task_index: Tensor, dist: Gaussian, post: Batch
) -> Tensor:
    """The surrogate of ``dist``, from ``act_again``, and the latents' KL.

    For ppo the surrogate is clipped, and entropy is paid.
    """
    episodes, advantage = post.episodes, post.advantage
    ratio = torch.exp(log_prob(dist, episodes.action) - episodes.log_prob)
    surrogate = ratio * advantage
    mean, log_std = (x[task_index] for x in learned.latent)
    kl = 0.5 * (torch.exp(2.0 * log_std) + mean**2 - 1.0) - log_std
    penalty = config.kl_coef * kl.sum(-1).mean()
    if config.optimizer == "trpo":
        return penalty - surrogate.mean()
    epsilon = config.ppo.clip_epsilon
    clipped = ratio.clamp(1.0 - epsilon, 1.0 + epsilon) * advantage
    entropy = dist.log_std.clamp(max=math.log(config.ppo.entropy_max_std)).sum(-1).mean()
    bonus = config.ppo.entropy_coef * entropy
    return penalty - torch.minimum(surrogate, clipped).mean() - bonus
