"""Loads the scene: one XML, whose blocks become boxes or discs when it is read."""

import warnings
from importlib import resources
from xml.etree import ElementTree

import mujoco
from brax.base import System
from brax.io import mjcf

BLOCK_GEOMS = {
    "disc": {"type": "sphere", "size": "0.03"},
    "box": {"type": "box", "size": "0.03 0.03 0.05"},
}
"""Geometry of a block by shape. Everything lies in one plane, where a sphere is a disc."""

SOLVER_ITERATIONS = {"fast": (1, 4), "exact": (3, 6)}
"""Newton iterations and line-search iterations of a physics step by kind of physics."""


def scene_xml(block_shape: str) -> str:
    """The MuJoCo XML of the scene with blocks of shape ``disc`` or ``box``."""
    scene = resources.files(__package__).joinpath("scene.xml").read_text(encoding="utf-8")
    root = ElementTree.fromstring(scene)
    geom = root.find("default/default[@class='block']/geom")
    assert geom is not None
    geom.attrib.update(BLOCK_GEOMS[block_shape])
    return ElementTree.tostring(root, encoding="unicode")


def load_system(block_shape: str, physics: str) -> System:
    """The Brax system of the scene with the solver settings of ``physics``."""
    model = mujoco.MjModel.from_xml_string(scene_xml(block_shape))
    model.opt.iterations, model.opt.ls_iterations = SOLVER_ITERATIONS[physics]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Brax System", category=UserWarning)
        return mjcf.load_model(model)
