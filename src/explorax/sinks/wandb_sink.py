"""Metrics, pictures and tables in Weights & Biases."""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from explorax.sinks.protocols import Results, finite

INIT_TIMEOUT_S, FINISH_TIMEOUT_S = 10.0, 60.0
"""Longest waits for the server, before a run and after it; $WANDB_INIT_TIMEOUT and
$WANDB_FINISH_TIMEOUT override them."""
MIN_FREE = 1_000_000
"""Bytes below which a disk is full: W&B notices in another process, which says nothing."""


class WandbError(Exception):
    """W&B could not take something; one line."""


class WandbSink:
    """A W&B run, its files below the run's directory; copies of tables are in $WANDB_DATA_DIR.

    A resumed run may write all its iterations again: those that the server has are not sent
    twice, and offline those that earlier parts of the run have are in no other part.
    """

    def __init__(
        self,
        mode: Literal["offline", "online"],
        directory: Path,
        project: str,
        name: str,
        run_id: str,
        config: Mapping[str, Any],
        group: str | None = None,
    ):
        """Starts the run; without a key, or without the server, it is kept offline.

        Args:
          mode: where the run lives.
          directory: W&B makes its folder ``wandb`` in there.
          project: the W&B project.
          name: what the run is called.
          run_id: stays the same when a run is resumed, whatever $WANDB_RUN_ID is.
          config: shown beside the run.
          group: of runs that go on at the same time in this process; None: it is the only one.
        """
        import wandb  # slow to import, and not needed where it is switched off

        wandb.setup(wandb.Settings(silent=True))
        self.directory = directory / "wandb"
        settings: dict[str, Any] = {
            "dir": directory,
            "project": project,
            "name": name,
            "id": run_id,
            "config": dict(config),
            "settings": _settings(),
            "group": group,
            "reinit": "default" if group is None else "create_new",
        }
        self._run, problem = _start(mode, settings)
        if problem:
            print(
                f"wandb.mode: {problem.rstrip('.')}; the run is kept offline in {self.directory} "
                "(`wandb sync` uploads it)",
                file=sys.stderr,
            )
        self.mode: Literal["offline", "online"] = "offline" if self._run.offline else "online"
        self.url = None if self._run.offline else self._run.url
        self._last_file = self.directory / "meta_iteration"
        self._last = self._last_iteration()
        self._run.define_metric("meta_iteration")
        self._run.define_metric("*", step_metric="meta_iteration")

    def write(self, metrics: Mapping[str, float | None]) -> None:
        """Logs what is finite, unless the iteration is there already.

        Raises:
          WandbError: W&B's process has died.
          OSError: the disk is full.
        """
        values = finite(metrics)
        if values["meta_iteration"] > self._last:
            self._log(values)
            self._last_file.write_text(f"{values['meta_iteration']:.0f}", encoding="utf-8")

    def write_results(self, results: Results) -> None:
        """Logs scores, tables and pictures, and the checkpoint as an artifact.

        Raises:
          WandbError: W&B's process has died.
          OSError: the disk is full, or a picture cannot be read.
        """
        self._log(
            {**results.counters, **finite(results.scores)}
            | {name: _table(rows) for name, rows in results.tables.items()}
            | {name: _picture(path) for name, path in results.pictures.items()}
        )
        if results.checkpoint is not None:
            with _living_process():
                self._run.log_artifact(_artifact(self._run.id, results.checkpoint))

    def close(self, exit_code: int) -> None:
        """Ends the run, once everything is uploaded.

        Raises:
          WandbError: that takes too long, or W&B's process has died.
        """
        try:
            with _living_process():
                self._run.finish(exit_code)
        except TimeoutError as error:
            raise WandbError(
                "the server has not taken everything in time; "
                f"`wandb sync --include-online {self.directory}` uploads it"
            ) from error

    def _last_iteration(self) -> float:
        """The last that the server has; offline, the last that was logged into the directory."""
        if self.mode == "online":
            return float(self._run.summary.get("meta_iteration") or 0)
        exists = self._last_file.exists()
        return float(self._last_file.read_text(encoding="utf-8") or 0) if exists else 0.0

    def _log(self, values: Mapping[str, Any]) -> None:
        if shutil.disk_usage(self.directory).free < MIN_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory))
        with _living_process():
            self._run.log(dict(values))


def _start(mode: str, settings: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The run, and why it is not online where it was asked to be."""
    import wandb

    problem = _login_problem() if mode == "online" else None
    if mode == "online" and problem is None:
        try:
            return _init(mode="online", resume="allow", **settings), None
        except wandb.Error as error:
            problem = " ".join(str(error).split())
            wandb.teardown()  # or the id stays in use
    return _init(mode="offline", **settings), problem


def _init(**settings: Any) -> Any:
    """A run by its own id, which W&B passes over where the environment is that of a sweep's run."""
    import wandb

    of_process = wandb.setup().settings
    if of_process.run_id != settings["id"]:
        of_process.sweep_id = None
    return wandb.init(**settings)


def _settings() -> Any:
    """How W&B behaves in a run: it prints nothing, and never waits for long."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", INIT_TIMEOUT_S)),
        finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT", FINISH_TIMEOUT_S)),
        finish_timeout_raises=True,
    )


def _login_problem() -> str | None:
    """Why W&B cannot be used online, None if it can. Never asks for a key, or the server."""
    import wandb

    mode = wandb.setup().settings.mode
    if mode in ("offline", "disabled"):
        return f"$WANDB_MODE is {mode}"
    try:
        return None if wandb.login(prompt=False, verify=False) else "no API key is set"
    except wandb.Error as error:
        return " ".join(str(error).split())


@contextlib.contextmanager
def _living_process() -> Iterator[None]:
    """Raises WandbError where W&B's process has died, and lets the library forget it."""
    import wandb
    from wandb.sdk.mailbox import MailboxClosedError

    try:
        yield
    except (ConnectionError, MailboxClosedError) as error:
        with contextlib.suppress(Exception):
            wandb.teardown()  # or it prints a page when this process ends
        raise WandbError("the process that uploads has died") from error


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    import wandb

    return wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])


def _picture(path: Path) -> Any:
    import wandb

    return wandb.Video(str(path)) if path.suffix == ".gif" else wandb.Image(str(path))


def _artifact(run_id: str, checkpoint: Path) -> Any:
    """A checkpoint's files, uploaded from where they are."""
    import wandb

    artifact = wandb.Artifact(f"checkpoint-{run_id}", "checkpoint")
    artifact.add_dir(str(checkpoint), policy="immutable", skip_cache=True)
    return artifact
