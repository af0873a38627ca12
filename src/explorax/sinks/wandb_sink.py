"""Metrics in Weights & Biases."""

import contextlib
import io
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal


class WandbSink:
    """The same metrics in a Weights & Biases run, its files below the run's directory."""

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
          run_id: stays the same when a run is resumed.
          config: shown beside the run.
          group: of runs that go on at the same time in this process; None: it is the only one.
        """
        import wandb  # slow to import, and not needed where it is switched off

        problem = _login_problem() if mode == "online" else None
        # WANDB_RUN_ID is set by an agent of a sweep, which knows of one run only.
        settings: dict[str, Any] = {
            "dir": directory,
            "project": project,
            "name": name,
            "id": os.environ.get("WANDB_RUN_ID", run_id) if group is None else run_id,
            "config": dict(config),
            "settings": wandb.Settings(silent=True, console="off", init_timeout=30),
            "group": group,
            "reinit": "default" if group is None else "create_new",
        }
        try:
            if mode == "online" and problem is None:
                self._run = wandb.init(mode="online", resume="allow", **settings)
        except wandb.Error as error:
            problem = " ".join(str(error).split())
        if mode == "offline" or problem:
            self._run = wandb.init(mode="offline", **settings)
        if problem:
            print(
                f"wandb.mode: {problem.rstrip('.')}; the run is kept offline in "
                f"{directory / 'wandb'} (`wandb sync` uploads it)",
                file=sys.stderr,
            )
        self.mode = "offline" if self._run.offline else "online"
        self._run.define_metric("meta_iteration")
        self._run.define_metric("*", step_metric="meta_iteration")

    def write(self, metrics: Mapping[str, float]) -> None:
        """Logs what is finite."""
        self._run.log({name: value for name, value in metrics.items() if math.isfinite(value)})

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def _login_problem() -> str | None:
    """Why W&B cannot be used online, None if it can. Never asks for a key."""
    import wandb

    with contextlib.redirect_stderr(io.StringIO()):
        try:
            return None if wandb.login(prompt=False) else "no API key is set"
        except wandb.Error as error:
            return " ".join(str(error).split())
