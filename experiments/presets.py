"""Settings by name. Each runs as it stands; flags override single fields."""

from config import Config, EnvConfig, MetaTestConfig, TrainConfig
from explorax.algos.latent_space import latent_space
from explorax.algos.maesn import maesn
from explorax.algos.maml import maml
from explorax.algos.scratch import scratch
from explorax.config import TRPOConfig

# Gupta et al. 2018 (arXiv 1802.07245) and its public code: 500 iterations of TRPO, 20 tasks of 50
# episodes, mu_i ~ N(0, 1), inner step sizes that start at 1, boxes.
PUSH_MAESN_PAPER = Config(
    preset="push-maesn-paper",
    env=EnvConfig(block_shape="box", physics="exact"),
    meta=maesn(
        optimizer="trpo",
        meta_batch_size=20,
        num_episodes=50,
        init_latent_std=1.0,
        inner_lr_mean=1.0,
        kl_coef=0.1,
        trpo=TRPOConfig(curvature_stride=1),
    ),
    train=TrainConfig(num_iterations=500),
    metatest=MetaTestConfig(num_iterations=100),
)

# The prior's pull (w) is stronger than on Push, where tasks in outer bands are served by latents of
# their own: here a new task has to find its direction from the prior.
POINT_MAESN = Config(
    preset="point-maesn",
    env=EnvConfig(name="point"),
    meta=maesn(num_episodes=20, hidden_sizes=(32, 32), latent_dim=4, kl_coef=0.5),
    train=TrainConfig(num_iterations=150, chunk_size=25, checkpoint_every=50),
)

# Episodes of 200 steps: half as many give as many steps an iteration as on Push.
WHEELED_MAESN = Config(
    preset="wheeled-maesn",
    env=EnvConfig(name="wheeled"),
    meta=maesn(num_episodes=20),
)

PRESETS: dict[str, Config] = {
    preset.preset: preset
    for preset in (
        Config(preset="push-maesn", meta=maesn()),
        Config(preset="push-maesn-long", meta=maesn(), train=TrainConfig(num_iterations=200)),
        PUSH_MAESN_PAPER,
        # half the steps an iteration, twice the iterations: as many environment steps
        Config(
            preset="push-latent-space",
            meta=latent_space(),
            train=TrainConfig(num_iterations=200),
        ),
        Config(preset="push-maml", meta=maml()),
        Config(
            preset="push-scratch",
            meta=scratch(),
            train=TrainConfig(num_iterations=0),
            metatest=MetaTestConfig(num_iterations=100),
        ),
        WHEELED_MAESN,
        POINT_MAESN,
    )
}
