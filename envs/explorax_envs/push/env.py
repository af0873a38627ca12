"""The Push environment: a planar hand must push one of five blocks to a goal it cannot see."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.base import Contact, Motion, System, Transform
from brax.envs.base import PipelineEnv, State
from brax.mjx.base import State as PipelineState
from jaxtyping import Array, Float, PRNGKeyArray
from mujoco import mjx

from explorax_envs.checks import check_choice
from explorax_envs.push import scene
from explorax_envs.push.task import BLOCK_ORIGIN_X, NUM_BLOCKS, NUM_JOINTS, PushTask, sample_tasks

HORIZON = 100
CONTROL_LIMIT = 2.0
REWARD_SCALE = 5.0
SUCCESS_RADIUS = 0.2


class PushCarry(NamedTuple):
    """All that one step hands to the next; the rest of a state follows from it."""

    qpos: Float[Array, "13"]  # joint positions (m, rad)
    qvel: Float[Array, "13"]  # joint velocities (m/s, rad/s)


class Push(PipelineEnv):
    """Planar pushing with MuJoCo's physics (MJX): 100 steps of 0.01 s, 26 numbers, 3 actions.

    Action: force along x and y (N) and torque (N m) on the hand, in [-1, 1], times 2.
    Observation: hand x, y, angle; x, y of blocks 0..4 in the world; the 13 joint velocities.
    Neither the goal nor the block that counts is observed: a policy has to find them out.
    An episode does not end by itself (``done`` stays 0); ``horizon`` is for the caller.

    Source: Gupta et al. 2018, "Meta-Reinforcement Learning of Structured Exploration
    Strategies", arXiv 1802.07245.
    """

    def __init__(
        self, block_shape: str = "disc", reward: str = "dense", physics: str = "fast"
    ) -> None:
        """Loads the scene.

        Args:
            block_shape: ``box`` as in the paper, or ``disc``, several times as fast.
            reward: ``dense`` is -5 times the distance of the block that counts to the goal;
                ``sparse`` is the same within 0.2 m, and -5 times the goal's distance to the
                origin elsewhere.
            physics: ``fast`` (one solver iteration) or ``exact`` (three).

        Raises:
            ValueError: an argument is none of its choices.
        """
        check_choice("block_shape", block_shape, scene.BLOCK_GEOMS)
        check_choice("reward", reward, ("dense", "sparse"))
        check_choice("physics", physics, scene.SOLVER_ITERATIONS)
        super().__init__(scene.load_system(block_shape, physics), backend="mjx")
        self.block_shape = block_shape
        self.reward = reward
        self.physics = physics
        self._template = _blank_pipeline_state(self.sys)

    @property
    def horizon(self) -> int:
        """Control steps per episode."""
        return HORIZON

    @property
    def observation_size(self) -> int:
        """Numbers in an observation."""
        return 3 + 2 * NUM_BLOCKS + NUM_JOINTS

    def sample_tasks(self, key: PRNGKeyArray, num_tasks: int) -> PushTask:
        """The first ``num_tasks`` tasks of as few layouts as hold them (five each)."""
        tasks = sample_tasks(key, -(-num_tasks // NUM_BLOCKS))
        return jax.tree.map(lambda x: x[:num_tasks], tasks)

    def reset(self, rng: PRNGKeyArray, task: PushTask | None = None) -> State:
        """The start of an episode: the layout of ``task``, everything at rest.

        As after ``mj_resetData``, what follows from the joints (frames, contacts) is filled in
        by the first step.

        Args:
            rng: typed or raw key; draws the task where none is given, and nothing else.
            task: one task, without leading axes.
        """
        if task is None:
            key_layout, key_block = jax.random.split(rng)
            block = jax.random.randint(key_block, (), 0, NUM_BLOCKS)
            task = jax.tree.map(lambda x: x[block], sample_tasks(key_layout, 1))
        rest = jnp.zeros(NUM_JOINTS)
        return self.unpack(PushCarry(task.qpos, qvel=rest), task)

    def step(self, state: State, action: Float[Array, "3"]) -> State:
        """One control step of 0.01 s; ``action`` is clipped to [-1, 1]."""
        assert state.pipeline_state is not None
        task: PushTask = state.info["task"]
        control = CONTROL_LIMIT * jnp.clip(action, -1.0, 1.0)
        pipeline_state = self.pipeline_step(state.pipeline_state, control)
        distance = jnp.linalg.norm(_block_xy(pipeline_state.qpos)[task.block] - task.goal)
        inside = distance <= SUCCESS_RADIUS
        if self.reward == "sparse":
            cost = jnp.where(inside, distance, jnp.linalg.norm(task.goal))
        else:
            cost = distance
        return state.replace(
            pipeline_state=pipeline_state,
            obs=_observe(pipeline_state.qpos, pipeline_state.qvel),
            reward=-REWARD_SCALE * cost,
            metrics={**state.metrics, "success": inside.astype(jnp.float32)},
        )

    def pack(self, state: State) -> PushCarry:
        """What a step needs of a state besides its task: two small arrays."""
        assert state.pipeline_state is not None
        return PushCarry(state.pipeline_state.qpos, state.pipeline_state.qvel)

    def unpack(self, carry: PushCarry, task: PushTask) -> State:
        """A state from which `step` continues exactly as from the one that was packed.

        What a step derives anew (frames, contacts, reward, success) is 0.
        """
        zero = jnp.zeros(())
        return State(
            pipeline_state=self._template.replace(**carry._asdict(), q=carry.qpos, qd=carry.qvel),
            obs=_observe(carry.qpos, carry.qvel),
            reward=zero,
            done=zero,
            metrics={"success": zero},
            info={"task": task},
        )


def _blank_pipeline_state(sys: System) -> PipelineState:
    """A pipeline state of the right structure in which nothing has been computed."""
    # By way of numpy, because MJX ties its arrays to a device and jit would compile twice.
    data = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), mjx.make_data(sys))
    contact = data._impl.contact
    num_contacts, num_links = contact.dist.shape[0], sys.nbody - 1
    return PipelineState(
        **vars(data),
        q=data.qpos,
        qd=data.qvel,
        x=Transform.zero((num_links,)),
        xd=Motion.zero((num_links,)),
        contact=Contact(
            **vars(contact),
            link_idx=(jnp.zeros(num_contacts, jnp.int32), jnp.zeros(num_contacts, jnp.int32)),
            elasticity=jnp.zeros(num_contacts),
        ),
    )


def _block_xy(qpos: Float[Array, "13"]) -> Float[Array, "5 2"]:
    """World x, y of the blocks (m)."""
    joints = qpos[3:].reshape(NUM_BLOCKS, 2)
    return joints.at[:, 0].add(BLOCK_ORIGIN_X)


def _observe(qpos: Float[Array, "13"], qvel: Float[Array, "13"]) -> Float[Array, "26"]:
    """Observation, from the joints alone, so that nothing else has to be computed for it."""
    return jnp.concatenate([qpos[:3], _block_xy(qpos).reshape(-1), qvel])
