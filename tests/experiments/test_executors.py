"""Where the processes of a sweep run."""

import pytest

from sweeping import local_executor
from sweeping.local_executor import local_gpus, local_places


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A machine with two GPUs, and jax's plugin for them."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text(
        "#!/bin/sh\n"
        "echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-a)'\n"
        "echo '  MIG 1g.10gb Device 0: (UUID: MIG-b)'\n"
        "echo 'GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-c)'\n"
    )
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    plugin = "jax_cuda12_plugin"
    monkeypatch.setattr(
        local_executor.importlib.util, "find_spec", lambda name: name == plugin or None
    )


def test_one_process_per_gpu(two_gpus, monkeypatch):
    assert local_places(None) == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert local_places(1) == [{"CUDA_VISIBLE_DEVICES": "0"}]
    with pytest.raises(ValueError, match=r"jobs: .* 2, one per GPU; got 3"):
        local_places(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert local_gpus() == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local_places(2) == [{}, {}]


def test_gpus_that_jax_would_not_use_do_not_count(two_gpus, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    assert local_gpus() == ["0", "1"]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert local_places(None) == [{}]
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(local_executor.importlib.util, "find_spec", lambda name: None)
    assert local_gpus() == []


def test_a_machine_without_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(local_executor.importlib.util, "find_spec", lambda name: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local_places(None) == [{}]
    assert local_places(3) == [{}, {}, {}]
