"""Floating-point operations of a policy's network, counted by hand.

XLA's own count (``cost_analysis``) has the body of a loop once, however often it runs: of a
rollout's 100 steps it sees one.
"""

from itertools import pairwise

from benchmarks.cases import Program
from explorax.config import MetaConfig


def policy_flops(
    meta: MetaConfig, obs_size: int, action_size: int, horizon: int, program: Program
) -> int | None:
    """Of one call of a program, the FLOPs of the products in the policy's network.

    A pass forward is 2 a weight and sample; a gradient is a pass forward and two backward. The
    inner step on latents needs no pass.

    Returns:
      None where nobody has counted: theta that adapts, a memory, and trust regions, whose line
      search takes as many passes as it needs.
    """
    if meta.adapt != "latents" or meta.memory_size > 0:
        return None
    sizes = (obs_size + meta.latent_dim, *meta.hidden_sizes, action_size)
    forward = 2 * sum(a * b for a, b in pairwise(sizes))
    stage = meta.meta_batch_size * meta.num_episodes * horizon
    acting = (meta.num_inner_steps + 1) * stage * forward
    if program in ("rollout", "stages"):
        return acting
    if program == "update" and meta.optimizer == "ppo":
        return acting + meta.ppo.num_epochs * 3 * stage * forward
    return None
