"""Settings of skill discovery by name. Each runs as it stands; flags override single fields."""

from typing import Any

from config import EnvConfig, SkillPresetName, SkillsRunConfig, TrainConfig
from explorax.config import SkillConfig


def on_push(preset: SkillPresetName, **skills: Any) -> SkillsRunConfig:
    """Skills that push blocks: by default told apart by where these and the hand are."""
    return SkillsRunConfig(
        preset=preset,
        env=EnvConfig(name="push"),
        skills=SkillConfig(**{"features": "blocks_hand", **skills}),
        train=TrainConfig(num_iterations=400, chunk_size=5, checkpoint_every=100),
    )


# Half a minute: ten directions. At 3e-4 and 20 episodes an iteration skills came and went.
POINT_DIAYN = SkillsRunConfig(
    preset="point-diayn",
    env=EnvConfig(name="point"),
    skills=SkillConfig(
        num_skills=10,
        features="position",
        num_gradient_steps=100,
        replay_size=100_000,
        hidden_sizes=(64, 64),
        learning_rate=1e-3,
    ),
    train=TrainConfig(num_iterations=100, chunk_size=10, checkpoint_every=50),
)

SKILL_PRESETS: dict[str, SkillsRunConfig] = {
    preset.preset: preset
    for preset in (
        on_push("push-diayn"),
        on_push("push-diayn-full", features="full"),
        on_push("push-diayn-blocks", features="blocks"),
        on_push("push-diayn-20", num_skills=20),
        on_push("push-diayn-100", num_skills=100),
        on_push("push-diayn-gaussian", skill_space="gaussian"),
        # Paid once an episode instead of at each of its 99 steps: at 0.1 entropy would be all.
        on_push("push-vic", objective="vic", entropy_coef=1e-3),
        POINT_DIAYN,
    )
}
