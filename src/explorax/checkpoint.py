"""Checkpoints of a run's whole state, Orbax behind one small interface."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from explorax.types import PyTree


class CheckpointError(Exception):
    """A checkpoint could not be written or read; one line that names its path."""


class Restored(NamedTuple):
    """What a checkpoint holds."""

    step: int
    state: PyTree
    info: dict[str, Any]  # as given to ``save``


class Checkpoints:
    """The checkpoints in one directory; those before the newest few are deleted.

    ``save`` returns once everything is on disk: the caller may donate the state right after. A
    process that is killed while it saves leaves the previous checkpoint readable.
    """

    def __init__(self, directory: str | Path, keep: int = 2, read_only: bool = False):
        """Opens or makes ``directory``.

        Args:
          directory: holds nothing but the checkpoints, a folder per step.
          keep: how many of the newest to keep.
          read_only: touches nothing; a directory that is missing holds no checkpoint.
        """
        self.directory = Path(directory).absolute()
        if read_only:
            options = ocp.CheckpointManagerOptions(read_only=True)
        else:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=True,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=False,
            )
        try:
            self._manager = ocp.CheckpointManager(
                self.directory, options=options, item_handlers=_handlers()
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.directory}: {_one_line(error)}") from error

    def steps(self) -> list[int]:
        """Steps that can be restored, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: PyTree, info: dict[str, Any]) -> None:
        """Writes ``state`` and the JSON-able ``info`` as checkpoint ``step``.

        Raises:
          CheckpointError: it exists already, or could not be written.
        """
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(_leaves(state)), info=ocp.args.JsonSave(info)
        )
        try:
            written = self._manager.save(step, args=args)
        except Exception as error:
            raise self._error(step, "cannot be written", error) from error
        if not written:
            raise CheckpointError(f"{self.directory / str(step)}: exists already")

    def restore(self, template: PyTree, mesh: Mesh, step: int | None = None) -> Restored:
        """Reads a checkpoint, bit for bit, onto every device of ``mesh``.

        Args:
          template: pytree of the state's structure, shapes and dtypes, as of ``jax.eval_shape``.
          mesh: may have another number of devices than the one that was saved from.
          step: which one; the latest if not given.

        Raises:
          CheckpointError: there is none, it is unreadable, or it holds something else.
        """
        step = self._manager.latest_step() if step is None else step
        if step is None:
            raise CheckpointError(f"{self.directory}: holds no checkpoint")
        sharding = NamedSharding(mesh, P())
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), template
        )
        wanted = _leaves(abstract)
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(wanted), info=ocp.args.JsonRestore()
        )
        try:
            self._check_fits(step, wanted)
            restored: Any = self._manager.restore(step, args=args)
        except Exception as error:  # Orbax raises whatever its layers below do
            raise self._error(step, "is not a readable checkpoint of this run", error) from error
        return Restored(step, _fill(abstract, restored.state), restored.info)

    def close(self) -> None:
        """Frees the threads that Orbax started."""
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_fits(self, step: int, wanted: dict[str, jax.ShapeDtypeStruct]) -> None:
        """Raises ValueError unless names, shapes and dtypes agree; Orbax would cast in silence."""
        metadata: Any = self._manager.item_metadata(step)
        stored = metadata.state
        if set(stored) != set(wanted):
            raise ValueError(f"its arrays are others: {sorted(set(stored) ^ set(wanted))}")
        for name, leaf in wanted.items():
            found = stored[name].shape, stored[name].dtype
            is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            if not is_key and found != (leaf.shape, leaf.dtype):
                raise ValueError(f"{name} is {found}, expected {(leaf.shape, leaf.dtype)}")

    def _error(self, step: int, what: str, error: Exception) -> CheckpointError:
        return CheckpointError(f"{self.directory / str(step)}: {what} ({_one_line(error)})")


def _handlers() -> dict[str, ocp.CheckpointHandler]:
    """How each part of a checkpoint is read, known before anything has been."""
    return {"state": ocp.StandardCheckpointHandler(), "info": ocp.JsonCheckpointHandler()}


def _leaves(tree: PyTree) -> dict[str, Any]:
    """Leaves by a name that tells their place; Orbax refuses leaves without elements."""
    flat = jax.tree_util.tree_leaves_with_path(tree)
    names = [
        f"{i:03d}.{jax.tree_util.keystr(p, simple=True, separator='.')}"
        for i, (p, _) in enumerate(flat)
    ]
    return {name: leaf for name, (_, leaf) in zip(names, flat, strict=True) if leaf.size > 0}


def _fill(abstract: PyTree, leaves: dict[str, Any]) -> PyTree:
    """The inverse of ``_leaves``."""
    stored = iter(leaves[name] for name in _leaves(abstract))

    def fill(x: jax.ShapeDtypeStruct):
        return next(stored) if x.size > 0 else jnp.zeros(x.shape, x.dtype, device=x.sharding)

    return jax.tree.map(fill, abstract)


def _one_line(error: Exception, limit: int = 200) -> str:
    """An error's kind and the start of its text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:limit]}" + ("..." if len(text) > limit else "")
