"""What the environments on MuJoCo's physics (MJX) share: loading, stepping, carrying little."""

import warnings
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from brax.base import Contact, Motion, System, Transform
from brax.envs.base import PipelineEnv, State
from brax.io import mjcf
from brax.mjx.base import State as PipelineState
from jaxtyping import Array, Float
from mujoco import mjx


class Carry(NamedTuple):
    """All that one step hands to the next; the rest of a state follows from it."""

    qpos: Float[Array, " Q"]  # joint positions (m, rad)
    qvel: Float[Array, " V"]  # joint velocities (m/s, rad/s)


def load_system(xml: str, iterations: tuple[int, int]) -> System:
    """The Brax system of a scene with a number of Newton and of line-search iterations."""
    model = mujoco.MjModel.from_xml_string(xml)
    model.opt.iterations, model.opt.ls_iterations = iterations
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Brax System", category=UserWarning)
        return mjcf.load_model(model)


class MjxEnv(PipelineEnv):
    """A Brax environment of fixed horizon whose state is its joints and its task.

    A subclass gives ``horizon``, ``control_limit``, ``observation_size``, ``features``,
    ``observe``, ``reset``, ``step`` and ``sample_tasks``.
    """

    horizon: ClassVar[int]
    """Control steps per episode, one physics step each."""
    control_limit: ClassVar[float]
    """What an action of 1 stands for."""
    features: ClassVar[dict[str, tuple[int, ...]]]
    """Parts of an observation by name, as indices: what a skill discriminator may look at."""

    def __init__(self, system: System) -> None:
        """Takes the physics."""
        super().__init__(system, backend="mjx")
        self._template = _blank_pipeline_state(self.sys)

    def observe(self, qpos: Float[Array, " Q"], qvel: Float[Array, " V"]) -> Float[Array, " O"]:
        """Observation, from the joints alone, so that nothing else has to be computed for it."""
        raise NotImplementedError

    def advance(self, state: State, action: Float[Array, " A"]) -> PipelineState:
        """The physics after one control step; ``action`` is clipped to [-1, 1]."""
        control = self.control_limit * jnp.clip(action, -1.0, 1.0)
        return self.pipeline_step(state.pipeline_state, control)

    def pack(self, state: State) -> Carry:
        """What a step needs of a state besides its task: two small arrays."""
        return Carry(state.pipeline_state.qpos, state.pipeline_state.qvel)

    def unpack(self, carry: Carry, task: object) -> State:
        """A state from which `step` continues exactly as from the one that was packed.

        What a step derives anew (frames, contacts, reward, success) is 0.
        """
        zero = jnp.zeros(())
        return State(
            pipeline_state=self._template.replace(**carry._asdict(), q=carry.qpos, qd=carry.qvel),
            obs=self.observe(carry.qpos, carry.qvel),
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
