"""The metrics that runs write at every iteration, and those that are shown."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

COUNTERS = ("meta_iteration", "env_steps", "wall_s", "steps_per_s")

METRIC_KEYS = (
    *COUNTERS,
    "return_pre",
    "return_post",
    "success_pre",
    "success_post",
    "kl_latent",
    "kl_policy",
    "line_search_ok",
    "action_std",
    "inner_lr_mean",
    "inner_lr_log_std",
    "inner_lr_params",
)
"""Keys of every line of a meta-training's JSONL file; null where the method lacks a metric."""

SKILL_METRIC_KEYS = (
    *COUNTERS,
    "intrinsic_reward",
    "intrinsic_reward_last",
    "accuracy",
    "distinct_skills",
    "effective_skills",
    "discriminator_loss",
    "critic_loss",
    "actor_loss",
    "action_std",
    "return",
    "success",
)
"""The same for runs that learn skills."""


class RunKind(NamedTuple):
    """How runs of one kind are written and shown."""

    iteration: str  # what an update is called
    metric_keys: tuple[str, ...]  # of every line of the JSONL file
    show: Callable[[Mapping[str, float]], str]  # the numbers that matter
    score: str | None  # the metric whose highest mean marks the best checkpoint


def _show_adaptation(metrics: Mapping[str, float]) -> str:
    return (
        f"return {metrics['return_pre']:.1f} → {metrics['return_post']:.1f}  "
        f"success {metrics['success_pre']:.2f} → {metrics['success_post']:.2f}"
    )


def _show_skills(metrics: Mapping[str, float]) -> str:
    shown = {"intrinsic_reward": "intrinsic reward", "accuracy": "accuracy"}
    shown["distinct_skills"] = "distinct skills"
    return "  ".join(f"{word} {metrics[key]:z.2f}" for key, word in shown.items() if key in metrics)


META_RUN = RunKind("meta-iteration", METRIC_KEYS, _show_adaptation, score="return_post")
# A discriminator that gets better raises the intrinsic reward of skills that stay as they are.
SKILLS_RUN = RunKind("iteration", SKILL_METRIC_KEYS, _show_skills, score=None)
