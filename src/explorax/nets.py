"""Flax policies that take a latent input, one that remembers, and discriminators of skills."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from explorax.types import ActionDist, Gaussian, Percept, PyTree, SkillChoice

# The first actions are noise about 0. Of unit scale, this layer would answer velocities of several
# m/s by means far outside [-1, 1], where clipping hides what an action does.
SMALL = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")


def no_memory(
    theta: PyTree, memory: Float[Array, "*batch H"], percept: Percept
) -> Float[Array, "*batch H"]:
    """``Policy.remember`` of a policy that does not: its memory has no elements."""
    return memory


class Policy(NamedTuple):
    """pi_theta(a | s, z) as pure functions.

    A policy with a memory h is pi_theta(a | s, h): h stands in the place of the latent z.
    """

    init: Callable[[PRNGKeyArray], PyTree]
    """key -> theta"""
    apply: Callable[[PyTree, Float[Array, "*batch O"], Float[Array, "*batch L"]], ActionDist]
    """(theta, obs, latent or memory) -> distribution of actions, leaves (*batch, ...)"""
    remember: Callable[[PyTree, Float[Array, "*batch H"], Percept], Float[Array, "*batch H"]] = (
        no_memory
    )
    """(theta, memory, percept) -> the memory with which this step acts"""
    memory_size: int = 0
    """H"""


def relu_layers(
    x: Float[Array, "*batch I"],
    hidden_sizes: Sequence[int],
    bias_init: nn.initializers.Initializer = nn.initializers.zeros,
) -> Float[Array, "*batch U"]:
    """``x`` through dense ReLU layers, which become those of the module that calls this."""
    for size in hidden_sizes:
        x = nn.relu(nn.Dense(size, bias_init=bias_init)(x))
    return x


class GaussianMLP(nn.Module):
    """ReLU layers on [obs, z] give the mean; one learned log-std vector serves all inputs.

    Source: Gupta et al. 2018 (arXiv 1802.07245), experimental details: (100, 100) ReLU.
    """

    action_size: int
    hidden_sizes: Sequence[int]
    init_action_std: float

    @nn.compact
    def __call__(self, obs: Float[Array, "*batch O"], latent: Float[Array, "*batch L"]) -> Gaussian:
        x = relu_layers(jnp.concatenate([obs, latent], axis=-1), self.hidden_sizes)
        mean = nn.Dense(self.action_size, kernel_init=SMALL)(x)
        init_log_std = nn.initializers.constant(jnp.log(self.init_action_std))
        log_std = self.param("log_std", init_log_std, (self.action_size,))
        return Gaussian(mean, jnp.broadcast_to(log_std, mean.shape))


def policy_from(net: nn.Module, obs_size: int, latent_size: int) -> Policy:
    """The policy without a memory that a module of (obs, latent) is."""

    def init(key: PRNGKeyArray) -> PyTree:
        return net.init(key, jnp.zeros(obs_size), jnp.zeros(latent_size))

    def apply(params: PyTree, obs: Array, latent: Array) -> ActionDist:
        return cast(ActionDist, net.apply(params, obs, latent))

    return Policy(init, apply)


def gaussian_mlp_policy(
    obs_size: int,
    action_size: int,
    latent_size: int,
    hidden_sizes: Sequence[int] = (100, 100),
    init_action_std: float = 1.0,
) -> Policy:
    """The MAESN policy as pure functions; ``latent_size`` 0 gives a policy without a latent."""
    net = GaussianMLP(action_size, tuple(hidden_sizes), init_action_std)
    return policy_from(net, obs_size, latent_size)


class Controller(nn.Module):
    """ReLU layers on [obs, z] choose a skill, and the mean of a residual action.

    Nothing is preferred at first: all skills are about as likely, and the residual's mean is 0.
    """

    num_skills: int
    residual_size: int
    hidden_sizes: Sequence[int]
    init_residual_std: float

    @nn.compact
    def __call__(
        self, obs: Float[Array, "*batch O"], latent: Float[Array, "*batch L"]
    ) -> SkillChoice:
        x = relu_layers(jnp.concatenate([obs, latent], axis=-1), self.hidden_sizes)
        logits = nn.Dense(self.num_skills, kernel_init=SMALL)(x)
        # in deviations: beside steep directions conjugate gradients hardly find the flat logits
        mean = nn.Dense(self.residual_size, kernel_init=nn.initializers.zeros)(x)
        mean *= self.init_residual_std
        init_log_std = nn.initializers.constant(jnp.log(self.init_residual_std))
        log_std = self.param("log_std", init_log_std, (self.residual_size,))
        return SkillChoice(logits, Gaussian(mean, jnp.broadcast_to(log_std, mean.shape)))


def controller_policy(
    obs_size: int,
    num_skills: int,
    residual_size: int,
    latent_size: int,
    hidden_sizes: Sequence[int] = (100, 100),
    init_residual_std: float = 0.1,
) -> Policy:
    """pi_theta(k | s, z), which chooses skills; ``residual_size`` 0 leaves their actions alone."""
    net = Controller(num_skills, residual_size, tuple(hidden_sizes), init_residual_std)
    return policy_from(net, obs_size, latent_size)


def orthogonal_blocks(key: PRNGKeyArray, shape: tuple[int, int], dtype: Any) -> Array:
    """Square orthogonal matrices, one beside the other."""
    rows, columns = shape
    keys = jax.random.split(key, columns // rows)
    blocks = [nn.initializers.orthogonal()(k, (rows, rows), dtype) for k in keys]
    return jnp.concatenate(blocks, axis=1)


class GRU(nn.Module):
    """A gated recurrent unit (Cho et al. 2014, arXiv 1406.1078) as ``flax.linen.GRUCell`` is.

    There as here the reset gate acts after the memory's product; in the paper before it. All gates
    take one product of the inputs and one of the memory, flax's three each: 1.4 times as fast, with
    the gradient, on a CPU.
    """

    size: int

    @nn.compact
    def __call__(
        self, memory: Float[Array, "*batch H"], inputs: Float[Array, "*batch I"]
    ) -> Float[Array, "*batch H"]:
        of_inputs = nn.Dense(3 * self.size, name="inputs")(inputs)
        blocks = nn.Dense(
            3 * self.size, use_bias=False, kernel_init=orthogonal_blocks, name="memory"
        )
        bias = self.param("bias", nn.initializers.zeros, (self.size,))
        reset_in, update_in, new_in = jnp.split(of_inputs, 3, axis=-1)
        reset_mem, update_mem, new_mem = jnp.split(blocks(memory), 3, axis=-1)
        reset = nn.sigmoid(reset_in + reset_mem)
        update = nn.sigmoid(update_in + update_mem)
        new = nn.tanh(new_in + reset * (new_mem + bias))
        return (1.0 - update) * new + update * memory


def recurrent_policy(
    obs_size: int,
    action_size: int,
    memory_size: int,
    hidden_sizes: Sequence[int] = (100,),
    init_action_std: float = 1.0,
) -> Policy:
    """A GRU remembers; the MLP of the other policies acts on [obs, memory] (Duan 2016, 2.2).

    Theta has two parts, ``act`` and ``remember``.
    """
    actor = gaussian_mlp_policy(obs_size, action_size, memory_size, hidden_sizes, init_action_std)
    cell = GRU(memory_size)

    def init(key: PRNGKeyArray) -> PyTree:
        act_key, remember_key = jax.random.split(key)
        inputs = jnp.zeros(obs_size + action_size + 2)
        remember = cell.init(remember_key, jnp.zeros(memory_size), inputs)
        return {"act": actor.init(act_key), "remember": remember}

    def apply(params: PyTree, obs: Array, memory: Array) -> ActionDist:
        return actor.apply(params["act"], obs, memory)

    def remember(params: PyTree, memory: Array, percept: Percept) -> Array:
        scalars = jnp.stack([percept.last_reward, percept.start], axis=-1)
        inputs = jnp.concatenate([percept.obs, percept.last_action, scalars], axis=-1)
        return cast(Array, cell.apply(params["remember"], memory, inputs))

    return Policy(init, apply, remember, memory_size)


class DiscriminatorMLP(nn.Module):
    """ReLU layers on features f(s), then the parameters of q(z | f(s)), all 0 before training."""

    output_size: int
    hidden_sizes: Sequence[int]

    @nn.compact
    def __call__(self, features: Float[Array, "*batch F"]) -> Float[Array, "*batch D"]:
        x = relu_layers(features, self.hidden_sizes)
        return nn.Dense(self.output_size, kernel_init=nn.initializers.zeros)(x)


class Discriminator(NamedTuple):
    """The network of q(z | f) as pure functions."""

    init: Callable[[PRNGKeyArray], PyTree]
    """key -> phi"""
    apply: Callable[[PyTree, Float[Array, "*batch F"]], Float[Array, "*batch D"]]
    """(phi, features) -> outputs, which ``skills.Skills`` reads"""


def discriminator(
    num_features: int, output_size: int, hidden_sizes: Sequence[int]
) -> Discriminator:
    """A discriminator of skills that knows nothing yet."""
    net = DiscriminatorMLP(output_size, tuple(hidden_sizes))

    def apply(params: PyTree, features: Array) -> Array:
        return cast(Array, net.apply(params, features))

    return Discriminator(lambda key: net.init(key, jnp.zeros(num_features)), apply)
