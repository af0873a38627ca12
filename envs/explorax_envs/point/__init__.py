"""Point: a robot in the plane looks for a goal. No physics: the smallest example."""

from explorax_envs.point.env import Point, PointTask

__all__ = ["Point", "PointTask"]
