"""Checkpoints of a run's whole state, Orbax behind one small interface."""

import errno
import json
import os
import shutil
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from orbax.checkpoint.options import MultiprocessingOptions

from explorax import checksums
from explorax.types import PyTree

SCORE = "score.json"
"""File with a checkpoint's score, beside those that Orbax writes."""
SAVING = "SAVING"
"""File with the step that is being written, beside the folders of all steps."""
OVERHEAD = 1_000_000
"""Bytes that suffice for everything in a checkpoint but its arrays."""


class CheckpointError(Exception):
    """A checkpoint could not be written or read; one line that names its path."""


class Restored(NamedTuple):
    """What a checkpoint holds."""

    step: int
    state: PyTree
    info: dict[str, Any]  # as given to ``save``
    passed_over: dict[int, str]  # newer steps that are damaged, and what is wrong with each


class Checkpoints:
    """The checkpoints in one directory: the newest few, and the best.

    ``save`` returns once everything is written: the caller may donate the state right after. Every
    checkpoint lists the digests of its files, and is deleted only after a newer one has its list:
    a process that is killed while it saves, or a disk that is full, leaves the one before whole.

    One without a list is damaged like one with a changed file. That includes those of versions
    that wrote none; only of a first save that was cut short it is known that nothing is lost.

    Of several processes one opens a directory, and waits for no other.
    """

    def __init__(self, directory: str | Path, keep: int = 2, read_only: bool = False):
        """Opens or makes ``directory``.

        Args:
          directory: holds nothing but the checkpoints, a folder per step.
          keep: how many of the newest to keep, besides the best.
          read_only: touches nothing; a directory that is missing holds no checkpoint.
        """
        self.directory, self.keep = Path(directory).absolute(), keep
        # Orbax's own max_to_keep would delete before the new checkpoint has its digests.
        options = ocp.CheckpointManagerOptions(
            create=False,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
            enable_async_checkpointing=False,
            multiprocessing_options=_alone(),
        )
        try:
            if not read_only:
                self.directory.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self.directory, options=options, item_handlers=_handlers()
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.directory}: {_one_line(error)}") from error

    def steps(self) -> list[int]:
        """Steps that are there, damaged ones too, ascending."""
        return sorted(self._manager.all_steps())

    def is_new(self) -> bool:
        """Whether no save has ended: nothing is there but what the first one may have left."""
        steps, saving = self.steps(), self.directory / SAVING
        if len(steps) != 1:
            return not steps
        was_saved = (self._path(steps[0]) / checksums.NAME).exists()
        return not was_saved and saving.exists() and saving.read_bytes() == str(steps[0]).encode()

    def best(self) -> int | None:
        """The step with the highest score, the latest of ties; None if no step has a score."""
        scores = {step: self._score(step) for step in self.steps()}
        known = [(score, step) for step, score in scores.items() if score is not None]
        return max(known)[1] if known else None

    def save(
        self, step: int, state: PyTree, info: dict[str, Any], score: float | None = None
    ) -> None:
        """Writes ``state`` and the JSON-able ``info`` as checkpoint ``step``.

        Args:
          step: later than those that are there.
          state: pytree of arrays that this process can use without others.
          info: comes back with the state.
          score: how good the state is, more is better; None: it is never the best.

        Raises:
          CheckpointError: it exists already, or could not be written.
        """
        # With several processes, Orbax would write a part of each jax array in each process.
        leaves = {name: np.asarray(_unwrapped(leaf)) for name, leaf in _leaves(state).items()}
        args = ocp.args.Composite(state=ocp.args.StandardSave(leaves), info=ocp.args.JsonSave(info))
        path = self._path(step)
        try:
            self._check_space(state)
            (self.directory / SAVING).write_text(str(step))
            written = self._manager.save(step, args=args)
            if written:
                (path / SCORE).write_text(json.dumps(score), encoding="utf-8")
                checksums.write(path)
            (self.directory / SAVING).unlink()
            if written:
                self._delete(set(self.steps()[: -self.keep]) - {self.best()})
        except Exception as error:
            raise self._error(step, "cannot be written", error) from error
        if not written:  # Orbax says no more than that
            raise CheckpointError(f"{path}: exists already, or a later one does")

    def restore(self, template: PyTree, mesh: Mesh, step: int | None = None) -> Restored:
        """Reads a checkpoint, bit for bit, onto every device of ``mesh``.

        Args:
          template: pytree of the state's structure, shapes and dtypes, as of ``jax.eval_shape``.
          mesh: may have another number of devices than the one that was saved from.
          step: which one; if not given, the latest whose files are as they were written.

        Raises:
          CheckpointError: there is none, it is damaged, or it holds something else.
        """
        step, passed_over = self._whole(self.steps() if step is None else [step])
        sharding = NamedSharding(mesh, P())
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), template
        )
        wanted = {name: _unwrapped(leaf) for name, leaf in _leaves(abstract).items()}
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(wanted), info=ocp.args.JsonRestore()
        )
        try:
            self._check_fits(step, wanted)
            restored: Any = self._manager.restore(step, args=args)
        except Exception as error:  # Orbax raises whatever its layers below do
            raise self._error(step, "is not a readable checkpoint of this run", error) from error
        return Restored(step, _fill(abstract, restored.state), restored.info, passed_over)

    def cut_back(self, step: int) -> None:
        """Deletes the checkpoints after ``step``, so that they can be saved anew.

        Raises:
          CheckpointError: one cannot be deleted.
        """
        try:
            self._delete({later for later in self.steps() if later > step})
        except OSError as error:
            raise CheckpointError(f"{self.directory}: {_one_line(error)}") from error

    def close(self) -> None:
        """Frees the threads that Orbax started."""
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_space(self, state: PyTree) -> None:
        """Raises OSError where a disk is full: Orbax notices in many threads, each with a page."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + OVERHEAD
        free = shutil.disk_usage(self.directory).free
        if free < needed:
            sizes = f"{needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free"
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {sizes}")

    def _whole(self, steps: Sequence[int]) -> tuple[int, dict[int, str]]:
        """The last of ``steps`` (ascending) that is whole, and what is wrong with those after it.

        Raises:
          CheckpointError: there is none.
        """
        faults: dict[int, str] = {}
        for step in reversed(steps):
            fault = checksums.fault(self._path(step))
            if fault is None:
                return step, faults
            faults[step] = fault
        if not faults:
            raise CheckpointError(f"{self.directory}: holds no checkpoint")
        others = "" if len(faults) == 1 else ", and none of the others is whole"
        raise CheckpointError(f"{self._path(steps[-1])}: {faults[steps[-1]]}{others}")

    def _score(self, step: int) -> float | None:
        """The score given to ``save``; None also if it cannot be read."""
        try:
            score = json.loads((self._path(step) / SCORE).read_text(encoding="utf-8"))
            return score if type(score) in (int, float) else None
        except (OSError, ValueError, RecursionError):
            return None

    def _delete(self, steps: Set[int]) -> None:
        for step in sorted(steps):
            self._manager.delete(step)

    def _path(self, step: int) -> Path:
        return self.directory / str(step)

    def _check_fits(self, step: int, wanted: dict[str, jax.ShapeDtypeStruct]) -> None:
        """Raises ValueError unless names, shapes and dtypes agree; Orbax would cast in silence."""
        metadata: Any = self._manager.item_metadata(step)
        stored = metadata.state
        if set(stored) != set(wanted):
            raise ValueError(f"its arrays are others: {sorted(set(stored) ^ set(wanted))}")
        for name, leaf in wanted.items():
            found = stored[name].shape, stored[name].dtype
            if found != (leaf.shape, leaf.dtype):
                raise ValueError(f"{name} is {found}, expected {(leaf.shape, leaf.dtype)}")

    def _error(self, step: int, what: str, error: Exception) -> CheckpointError:
        return CheckpointError(f"{self._path(step)}: {what} ({_one_line(error)})")


def _alone() -> MultiprocessingOptions:
    """Orbax does what it does in this process, and looks for nothing of any other."""
    return MultiprocessingOptions(primary_host=None, active_processes={jax.process_index()})


def _handlers() -> dict[str, ocp.CheckpointHandler]:
    """How each part of a checkpoint is read, known before anything has been."""
    return {
        "state": ocp.StandardCheckpointHandler(multiprocessing_options=_alone()),
        "info": ocp.JsonCheckpointHandler(multiprocessing_options=_alone()),
    }


def _leaves(tree: PyTree) -> dict[str, Any]:
    """Leaves by a name that tells their place; Orbax refuses leaves without elements."""
    flat = jax.tree_util.tree_leaves_with_path(tree)
    names = [
        f"{i:03d}.{jax.tree_util.keystr(p, simple=True, separator='.')}"
        for i, (p, _) in enumerate(flat)
    ]
    return {name: leaf for name, (_, leaf) in zip(names, flat, strict=True) if leaf.size > 0}


def _unwrapped(leaf: Any) -> Any:
    """A leaf, or its shape and dtype; for keys, those of their integer data."""
    if not _is_key(leaf):
        return leaf
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.random.key_data(leaf)
    data = jax.eval_shape(jax.random.key_data, leaf)
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=leaf.sharding)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _fill(abstract: PyTree, leaves: dict[str, Any]) -> PyTree:
    """The inverse of ``_leaves``."""
    stored = iter(leaves[name] for name in _leaves(abstract))

    def fill(x: jax.ShapeDtypeStruct):
        if x.size == 0:
            return jnp.zeros(x.shape, x.dtype, device=x.sharding)
        leaf = next(stored)
        if not _is_key(x) or _is_key(leaf):  # earlier versions had Orbax store keys as such
            return leaf
        impl = jax.random.key_impl(jnp.zeros((), x.dtype))
        return jax.random.wrap_key_data(leaf, impl=impl)

    return jax.tree.map(fill, abstract)


def _one_line(error: Exception, limit: int = 300) -> str:
    """An error's type and text; a long text keeps both ends, since the cause often comes last."""
    text = " ".join(str(error).split())
    if len(text) > limit:
        text = f"{text[: limit // 2]} ... {text[-limit // 2 :]}"
    return f"{type(error).__name__}: {text}"
