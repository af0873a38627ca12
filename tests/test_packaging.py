"""The wheel, the lock, the Makefile, and the one fault that decides which jax is allowed."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"explorax": ROOT / "src/explorax", "explorax_envs": ROOT / "envs/explorax_envs"}


def run(*command, timeout=300, **kwargs):
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        **kwargs,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what the build reads: the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in ("src", "envs"):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source)
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_every_file_of_both_packages(wheel):
    expected = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    built = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert built == expected
    assert {"explorax/py.typed", "explorax_envs/py.typed"} <= built
    assert "explorax_envs/push/scene.xml" in built


def test_wheel_carries_the_license(wheel):
    archive = zipfile.ZipFile(wheel)
    (license_file,) = (name for name in archive.namelist() if name.endswith("licenses/LICENSE"))
    assert archive.read(license_file) == (ROOT / "LICENSE").read_bytes()


def test_installed_wheel_imports_without_the_checkout(wheel, tmp_path):
    """In a fresh environment; dependencies come from this one, after its own packages.

    A path file adds this environment's site-packages to the end of ``sys.path`` without reading
    the path files in there, so that an editable install of the checkout is out of reach.
    """
    env = tmp_path / "env"
    run(sys.executable, "-m", "venv", env)
    python = env / "bin/python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    outer = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(outer)))

    code = (
        "import importlib, importlib.resources, json, pkgutil\n"
        "import explorax, explorax_envs\n"
        "scene = importlib.resources.files('explorax_envs') / 'push' / 'scene.xml'\n"
        "assert '<mujoco' in scene.read_text()\n"
        "files = {}\n"
        "for package in (explorax, explorax_envs):\n"
        "    files[package.__name__] = package.__file__\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        files[found.name] = importlib.import_module(found.name).__file__\n"
        "print(json.dumps(files))\n"
    )
    report = run(python, "-I", "-c", code, cwd=tmp_path).splitlines()[-1]
    files = {name: Path(file) for name, file in json.loads(report).items()}
    for name, file in files.items():
        assert file.is_relative_to(site / name.partition(".")[0]), file
    assert set(PACKAGES) <= set(files)


def locked():
    """Pinned versions by distribution name."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = (re.match(r"([a-z0-9-]+)==([^ ;]+)", line) for line in lines)
    return {pin[1]: pin[2] for pin in pins if pin}


def test_lock_is_pins_and_hashes_only():
    text = (ROOT / "requirements.lock").read_text()
    pin = r"[a-z0-9-]+==[^\s;]+( ; [^\\\n]+)?"
    digest = r"    --hash=sha256:[0-9a-f]{64}"
    entry = re.compile(rf"{pin}(?: \\\n{digest})+\n")
    assert entry.sub("", text) == "", "a line that is neither a pin nor a hash"


def test_lock_covers_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = (
        project["project"]["dependencies"]
        + project["project"]["optional-dependencies"]["dev"]
        + project["build-system"]["requires"]
    )
    names = {re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in asked}
    assert names <= set(locked())


def test_mujoco_and_mjx_are_of_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(r.split("==") for r in project["dependencies"] if r.startswith("mujoco"))
    assert set(pins) == {"mujoco", "mujoco-mjx"}
    assert len(set(pins.values())) == 1
    assert locked()["mujoco"] == locked()["mujoco-mjx"] == pins["mujoco"]


def test_jax_0_10_is_excluded():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (jax,) = (r for r in project["dependencies"] if re.match(r"jax\b(?!typing)", r))
    assert "!=0.10.*" in jax
    assert not locked()["jax"].startswith("0.10.")
    assert locked()["jax"] == locked()["jaxlib"]


def test_two_factorisations_in_one_loop_body_finish():
    """jax 0.10.0 to 0.10.2 deadlock here on CPU: all their threads wait for ever.

    Two independent batched Cholesky factorisations in one compiled loop body are what MJX's
    implicit damping comes to. In a process of its own, since a deadlocked one has to be killed.
    """
    code = (
        "import jax, jax.numpy as jnp\n"
        "A = jnp.broadcast_to(jnp.eye(13), (1024, 13, 13))\n"
        "def body(shift, _):\n"
        "    first = jnp.linalg.cholesky(A * (2 + shift))\n"
        "    second = jnp.linalg.cholesky(A * (3 + shift))\n"
        "    return shift + 0 * (first.sum() + second.sum()), None\n"
        "shift, _ = jax.jit(lambda c: jax.lax.scan(body, c, length=100))(jnp.float32(1))\n"
        "print(float(shift))\n"
    )
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    assert run(sys.executable, "-c", code, timeout=120, env=env).split()[-1] == "1.0"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    helped = run("make", "-C", ROOT, "--no-print-directory", env=env)
    assert [line.split()[0] for line in helped.splitlines()] == phony.split()
    assert all(len(line.split()) > 1 for line in helped.splitlines())
