"""Where metrics go: a JSONL file, Weights & Biases, TensorBoard, a progress bar."""

from explorax.sinks.best_effort import BestEffort
from explorax.sinks.jsonl import (
    JsonlSink,
    SinkError,
    finite_or_none,
    read_jsonl,
    read_together,
    truncate_jsonl,
)
from explorax.sinks.kinds import (
    COUNTERS,
    META_RUN,
    METRIC_KEYS,
    SKILL_METRIC_KEYS,
    SKILLS_RUN,
    RunKind,
)
from explorax.sinks.progress import Progress
from explorax.sinks.protocols import Results, RunLog, Sink
from explorax.sinks.tensorboard import TensorBoardSink
from explorax.sinks.wandb_sink import WandbSink

__all__ = [
    "COUNTERS",
    "META_RUN",
    "METRIC_KEYS",
    "SKILLS_RUN",
    "SKILL_METRIC_KEYS",
    "BestEffort",
    "JsonlSink",
    "Progress",
    "Results",
    "RunKind",
    "RunLog",
    "Sink",
    "SinkError",
    "TensorBoardSink",
    "WandbSink",
    "finite_or_none",
    "read_jsonl",
    "read_together",
    "truncate_jsonl",
]
