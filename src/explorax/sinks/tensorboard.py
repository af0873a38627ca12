"""Metrics and pictures as TensorBoard reads them."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorax.sinks.protocols import Results, finite


class TensorBoardSink:
    """Event files; the axis of all plots is environment steps.

    What another sink has written into the same directory before is hidden by TensorBoard: a
    resumed run writes all its metrics again.
    """

    FLUSH_EVERY_S = 10.0

    def __init__(self, directory: Path):
        """Begins a file in ``directory``, which is made if need be."""
        # It takes a moment to import, and is not needed where it is switched off. Its own
        # SummaryWriter waits for ever where the thread that writes has met a full disk.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        events: Any = event_pb2  # whose classes are made at run time
        summaries: Any = summary_pb2
        self._event, self._summary = events.Event, summaries.Summary
        directory.mkdir(exist_ok=True)
        self._writer = EventsWriter(str(directory / "events"), f".{os.getpid()}")
        self._flushed = time.monotonic()
        start = events.SessionLog(status=events.SessionLog.START)
        self._write(0, session_log=start)

    def write(self, metrics: Mapping[str, float | None]) -> None:
        """Adds what is finite, all but the counter that is the axis."""
        values = finite(metrics)
        step = int(values.pop("env_steps"))
        self._write(step, summary=self._scalars(values))
        if time.monotonic() - self._flushed > self.FLUSH_EVERY_S:
            self._writer.flush()
            self._flushed = time.monotonic()

    def write_results(self, results: Results) -> None:
        """Adds scores and pictures; of tables and checkpoints TensorBoard knows nothing."""
        step = int(results.counters["env_steps"])
        self._write(step, summary=self._scalars(finite(results.scores)))
        for name, path in results.pictures.items():
            self._write(step, summary=self._picture(name, path))

    def close(self, exit_code: int) -> None:
        """Closes the file; TensorBoard does not show how a process ended."""
        self._writer.close()

    def _write(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))

    def _scalars(self, values: Mapping[str, float]) -> Any:
        items = values.items()
        return self._summary(
            value=[self._summary.Value(tag=name, simple_value=value) for name, value in items]
        )

    def _picture(self, name: str, path: Path) -> Any:
        from PIL import Image

        with Image.open(path) as picture:
            width, height = picture.size
        encoded = path.read_bytes()  # of a GIF, too: TensorBoard plays it
        image = self._summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=encoded
        )
        return self._summary(value=[self._summary.Value(tag=name, image=image)])
