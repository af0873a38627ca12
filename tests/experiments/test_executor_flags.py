"""Flags that say where the runs of a sweep run."""

import sys
from types import ModuleType

import pytest

import sweep
from fake_sweeps import SPEC, write_spec
from sweeping.ray_executor import Shares, shares


@pytest.fixture
def spec(tmp_path):
    return write_spec(tmp_path / "spec.yaml", SPEC)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--executor=pbs"], ["executor", "slurm-local"]),
        (["--jobs=0"], ["jobs", "1..1024"]),
        (["--executor=ray", "--cpus-per-run=0"], ["cpus_per_run", "at least 1"]),
        (["--executor=ray", "--ray-address="], ["ray_address", "empty"]),
        (["--executor=slurm", "--slurm-time=0"], ["slurm_time", "at least 1"]),
        (["--gpus-per-run=1"], ["gpus_per_run", "ray or slurm or slurm-local only"]),
        (["--executor=slurm", "--ray-address=auto"], ["ray_address", "ray only"]),
        (["--executor=slurm-local", "--slurm-partition=x"], ["slurm_partition", "slurm only"]),
    ],
)
def test_what_does_not_go_together_is_refused(spec, refused, flags, names):
    refused(sweep.main, [spec, *flags], *names)


@pytest.mark.parametrize(("executor", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_says_how_to_install_it(spec, refused, monkeypatch, executor, package):
    monkeypatch.setitem(sys.modules, package, None)
    names = ["executor", f"package {package} ", f"pip install -e '.[{executor}]'"]
    refused(sweep.main, [spec, f"--executor={executor}"], *names)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1:port", "127.0.0.1:99999"])
def test_a_ray_address_that_nothing_answers_at(spec, refused, monkeypatch, address):
    """Without Ray: it would try for long."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    flags = ["--executor=ray", f"--ray-address={address}"]
    refused(sweep.main, [spec, *flags], "ray_address", address)


def test_slurm_is_needed(spec, refused, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(sweep.main, [spec, "--executor=slurm"], "executor", "slurm", "sbatch")


def test_a_cluster_is_divided():
    one = [{"CPU": 8.0}]
    assert shares(one, None, None, None) == Shares(cpus=8, gpus=0, most=1)
    assert shares(one, 2, None, None) == Shares(4, 0, 2)
    assert shares(one, 100, None, None) == Shares(1, 0, 100)
    assert shares(one, None, 3, None) == Shares(3, 0, 2)
    several = [{"memory": 1.0}, {"CPU": 16.0}, {"CPU": 8.0}]
    assert shares(several, None, None, None) == Shares(8, 0, 3)
    with_gpus = [{"CPU": 16.0, "GPU": 4.0}, {"CPU": 16.0}]
    assert shares(with_gpus, None, None, None) == Shares(1, 1, 4)
    assert shares(with_gpus, None, 4, 2) == Shares(4, 2, 2)
    assert shares(with_gpus, None, None, 0) == Shares(16, 0, 2)
    assert shares([{}], None, None, None) == Shares(1, 0, 1), "one that has yet to grow"
