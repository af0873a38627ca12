"""The task axis over devices: one mesh axis, one mean."""

from collections.abc import Callable

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PRNGKeyArray

from explorax.types import PyTree

TASK_AXIS = "tasks"


def task_mesh(num_tasks: int, max_devices: int | None = None) -> Mesh:
    """A mesh over as many devices as divide ``num_tasks`` evenly (at least one)."""
    devices = jax.devices()[:max_devices]
    count = max(n for n in range(1, len(devices) + 1) if num_tasks % n == 0)
    return jax.make_mesh((count,), (TASK_AXIS,), (AxisType.Auto,), devices=devices[:count])


def over_tasks(fun: Callable, mesh: Mesh, in_axes: tuple[bool, ...], out_tasks: bool) -> Callable:
    """``fun`` run on every device of ``mesh`` with its share of the tasks.

    Args:
      fun: function of pytrees.
      mesh: from ``task_mesh``.
      in_axes: for each argument, whether its leading axis is the task axis (else replicated).
      out_tasks: whether the leading axis of all outputs is the task axis (else they must be
        equal on all devices, as after ``mean_over_devices``).
    """
    in_specs = tuple(P(TASK_AXIS) if sharded else P() for sharded in in_axes)
    out_specs = P(TASK_AXIS) if out_tasks else P()
    return jax.shard_map(fun, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def mean_over_devices(tree: PyTree) -> PyTree:
    """Mean of equal shares over the task axis; only inside ``over_tasks``."""
    return jax.lax.pmean(tree, TASK_AXIS)


def gather_over_devices(tree: PyTree) -> PyTree:
    """All devices' shares, one after the other on the leading axis; only inside ``over_tasks``."""
    return jax.lax.all_gather(tree, TASK_AXIS, tiled=True)


def share_of_device(tree: PyTree) -> PyTree:
    """The part of the leading axis that is this device's; only inside ``over_tasks``."""
    count, index = jax.lax.axis_size(TASK_AXIS), jax.lax.axis_index(TASK_AXIS)

    def share(x: jax.Array) -> jax.Array:
        size = len(x) // count
        return jax.lax.dynamic_slice_in_dim(x, index * size, size)

    return jax.tree.map(share, tree)


def key_of_device(key: PRNGKeyArray) -> PRNGKeyArray:
    """A key of this device's own; only inside ``over_tasks``."""
    return jax.random.fold_in(key, jax.lax.axis_index(TASK_AXIS))


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """``tree`` on every device of ``mesh``, so that the first call compiles for all later ones."""
    return jax.device_put(tree, NamedSharding(mesh, P()))
