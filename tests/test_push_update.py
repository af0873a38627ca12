"""The meta-update on the physics that the project is about, at a tiny size."""

import jax
import jax.numpy as jnp
import numpy as np

import explorax_envs
from compilations import compilations, host_operations
from explorax.config import MetaConfig, PPOConfig
from explorax.meta_update import build
from explorax.parallel import replicate, task_mesh
from explorax.train import compile_chunk


def test_push_is_one_program_that_moves_nothing_to_the_host():
    """Two chunks: one compilation, no transfer, the state donated, everything finite."""
    config = MetaConfig(
        num_train_tasks=5,
        meta_batch_size=2,
        num_episodes=2,
        hidden_sizes=(8,),
        ppo=PPOConfig(num_epochs=1),
    )
    mesh = task_mesh(2)
    learner = build(explorax_envs.make("push"), config, mesh)
    state = replicate(jax.jit(learner.init)(jax.random.key(0)), mesh)
    first, size = state, replicate(np.int32(2), mesh)
    chunk = compile_chunk(learner, 2)
    with compilations() as compiled:
        state, _ = chunk(state, size)
        with jax.transfer_guard("disallow"):
            state, metrics = chunk(state, size)
        jax.block_until_ready(metrics)
    assert len(compiled) == 1
    assert not host_operations(chunk.lower(state, size))
    assert first.params.latent.mean.is_deleted()
    assert int(state.iteration) == 4
    np.testing.assert_array_equal(metrics["finite"], 1.0)
    assert jnp.ptp(metrics["return_post"]) > 0
