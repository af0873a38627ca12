"""Event files, read back record by record as TensorBoard does."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from explorax.sinks import BestEffort, Results, TensorBoardSink
from lines import metrics


def events(directory: Path) -> list[Event]:
    """All events of a directory, in the order in which TensorBoard reads its files."""
    found = []
    for file in sorted(directory.iterdir()):
        content = file.read_bytes()
        while content:
            header, (crc,) = content[:8], struct.unpack("I", content[8:12])
            assert crc == masked_crc32c(header)
            (size,) = struct.unpack("Q", header)
            record, (crc,) = content[12 : 12 + size], struct.unpack("I", content[12 + size :][:4])
            assert crc == masked_crc32c(record)
            found.append(Event.FromString(record))
            content = content[16 + size :]
    return found


def scalars(found: list[Event], name: str) -> list[tuple[int, float]]:
    """Step and value of a scalar; a session hides what earlier ones have from its step on."""
    shown: list[tuple[int, float]] = []
    for event in found:
        if event.session_log.status == SessionLog.START:
            shown = [(step, value) for step, value in shown if step < event.step]
        shown += [(event.step, v.simple_value) for v in event.summary.value if v.tag == name]
    return shown


def write(directory: Path, *iterations: int) -> None:
    sink = TensorBoardSink(directory)
    for i in iterations:
        sink.write(metrics(i, nothing=None, infinite=float("inf")))
    sink.close(0)


def test_scalars_are_written_by_environment_steps(tmp_path):
    write(tmp_path / "tensorboard", 1, 2, 3)
    found = events(tmp_path / "tensorboard")
    assert found[0].file_version == "brain.Event:2"
    assert scalars(found, "return_post") == [(100, -9.0), (200, -8.0), (300, -7.0)]
    assert scalars(found, "meta_iteration") == [(100, 1), (200, 2), (300, 3)]
    for absent in ("env_steps", "nothing", "infinite"):
        assert scalars(found, absent) == []


def test_a_resumed_run_is_shown_once(tmp_path, monkeypatch):
    """Also where the first part had gone on further than its last checkpoint."""
    write(tmp_path, 1, 2, 3, 4)
    monkeypatch.setattr("os.getpid", lambda: 10**10 - 1)  # or both may have one name
    write(tmp_path, 1, 2, 3)
    assert len(list(tmp_path.iterdir())) == 2
    assert scalars(events(tmp_path), "return_post") == [(100, -9.0), (200, -8.0), (300, -7.0)]


def test_pictures_are_written_as_they_are(tmp_path):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    sink = TensorBoardSink(tmp_path / "tensorboard")
    pictures = {"animations/moving": tmp_path / "moving.gif"}
    counters = {"meta_iteration": 3, "env_steps": 300}
    sink.write_results(Results(counters, {"metatest/return": -5.0}, {}, pictures))
    sink.close(0)
    found = events(tmp_path / "tensorboard")
    assert scalars(found, "metatest/return") == [(300, -5.0)]
    (value,) = (v for event in found for v in event.summary.value if v.HasField("image"))
    assert (value.tag, value.image.width, value.image.height) == ("animations/moving", 8, 6)
    assert value.image.encoded_image_string == (tmp_path / "moving.gif").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_log_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(TensorBoardSink, "FLUSH_EVERY_S", -np.inf)
    full = Path("/dev/full").open("wb")  # noqa: SIM115
    monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda _: full)
    said = []
    logs = BestEffort("tensorboard", [TensorBoardSink(tmp_path)], said.append)
    for i in (1, 2):
        logs.write([metrics(i)])
    logs.close(0)
    (line,) = said
    assert line.startswith("tensorboard: [Errno 28] No space left on device")
