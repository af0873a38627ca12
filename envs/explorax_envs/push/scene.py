"""Loads the scene: one XML, whose blocks become boxes or discs when it is read."""

from importlib import resources
from xml.etree import ElementTree

from brax.base import System

from explorax_envs.mjx_env import load_system

BLOCK_GEOMS = {
    "disc": {"type": "sphere", "size": "0.03"},
    "box": {"type": "box", "size": "0.03 0.03 0.05"},
}
"""Geometry of a block by shape. Everything lies in one plane, where a sphere is a disc."""

GROWN_HAND_SIZE, GROWN_BOX_SIZE = "0.022", "0.031 0.031 0.051"
"""Sizes that contain the contact margin of 0.002, for colliders that ignore it."""


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


def grow_boxes_by_margin(xml: str) -> str:
    """The scene with boxes whose margin is part of the shapes, with the same contacts.

    MJX's colliders of boxes see nothing before two surfaces overlap, so that a margin is without
    effect. A hand that is thicker by the whole margin touches a box where it would with the
    margin; boxes touch each other as shells that are larger by half of it on every side.
    """
    root = ElementTree.fromstring(xml)
    geom, hand, block = (
        root.find(f"default/{path}")
        for path in ("geom", "*[@class='hand']/geom", "*[@class='block']/geom")
    )
    assert geom is not None and hand is not None and block is not None
    geom.attrib["margin"] = "0"
    hand.attrib.update(size=GROWN_HAND_SIZE, contype="1", conaffinity="0")
    block.attrib.update(contype="0", conaffinity="1")
    for body in root.iterfind("worldbody/body[@childclass='block']"):
        ElementTree.SubElement(body, "geom", size=GROWN_BOX_SIZE, contype="2", conaffinity="2")
    return ElementTree.tostring(root, encoding="unicode")


def load_block_system(block_shape: str, physics: str) -> System:
    """The Brax system of the scene with blocks of one shape."""
    xml = scene_xml(block_shape)
    xml = grow_boxes_by_margin(xml) if block_shape == "box" else xml
    return load_system(xml, SOLVER_ITERATIONS[physics])
