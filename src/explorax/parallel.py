"""The task axis over the devices of one process or several: one mesh axis, one mean.

Several processes, after ``jax.distributed.initialize``, all call the same functions here, in the
same order.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PRNGKeyArray

from explorax.types import PyTree

TASK_AXIS = "tasks"


def usable_devices(max_devices: int | None = None) -> list[list[Any]]:
    """The first devices of every process, at most ``max_devices`` of each.

    Raises:
      ValueError: one process has more of them than another.
    """
    devices: list[list[Any]] = [[] for _ in range(jax.process_count())]
    for device in jax.devices():
        devices[device.process_index].append(device)
    counts = sorted(set(map(len, devices)))
    if len(counts) > 1:
        raise ValueError(f"processes have different numbers of devices: {counts}")
    return [of_process[:max_devices] for of_process in devices]


def task_mesh(num_tasks: int, max_devices: int | None = None) -> Mesh:
    """A mesh over as many devices of every process as together divide ``num_tasks`` evenly.

    Args:
      num_tasks: tasks to distribute over the devices.
      max_devices: upper bound for each process.

    Raises:
      ValueError: ``num_tasks`` is not divisible by the number of processes.
    """
    devices = usable_devices(max_devices)
    sizes = range(len(devices[0]), 0, -1)
    count = next((n for n in sizes if num_tasks % (n * len(devices)) == 0), None)
    if count is None:
        raise ValueError(f"{len(devices)} processes cannot share {num_tasks} equally")
    return _mesh([device for of_process in devices for device in of_process[:count]])


def one_device() -> Mesh:
    """A mesh that this process has to itself."""
    return _mesh(jax.local_devices()[:1])


def _mesh(devices: list[Any]) -> Mesh:
    return jax.make_mesh((len(devices),), (TASK_AXIS,), (AxisType.Auto,), devices=devices)


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


def everywhere(mesh: Mesh) -> NamedSharding:
    """The sharding of what every device of ``mesh`` holds whole."""
    return NamedSharding(mesh, P())


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """``tree`` on every device of ``mesh``, so that the first call compiles for all later ones.

    With several processes, each passes its own copy; all copies must be equal.
    """
    sharding = everywhere(mesh)
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put(x: Any) -> jax.Array:
        copies = [jax.device_put(x, device) for device in mesh.local_devices]
        return jax.make_array_from_single_device_arrays(np.shape(x), sharding, copies)

    return jax.tree.map(put, tree)


def local(tree: PyTree) -> PyTree:
    """``tree``, replicated, in arrays that this process can use without the others."""
    return jax.tree.map(lambda x: x if x.is_fully_addressable else x.addressable_data(0), tree)


def highest(value: int) -> int:
    """The highest ``value`` of all processes, which wait for each other."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.process_allgather(np.int32(value)).max())


def wait_for_all() -> None:
    """Returns once all processes have called it."""
    highest(0)


def of_first_process(tree: PyTree) -> PyTree:
    """The first process's ``tree``, bit for bit, in arrays of this process alone.

    Args:
      tree: arrays that this process can use without the others; in all but the first process
        any of the same shapes and dtypes.
    """
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(_of_first_process, tree)


def _of_first_process(x: jax.Array) -> jax.Array:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = _of_first_process(jax.random.key_data(x))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    # The broadcast adds zeros from the others: to integers, since -0.0 + 0.0 would lose its sign.
    values = np.ascontiguousarray(x).reshape(-1)
    shared = np.asarray(multihost_utils.broadcast_one_to_all(values.view(np.uint8)))
    return jnp.asarray(shared.view(x.dtype).reshape(x.shape))
