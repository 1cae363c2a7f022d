"""Generated human motion with captions: nothing to download, the same for everyone, on several skeletons.

A procedural source: key poses and footsteps are turned into joints by forward and inverse kinematics on human
proportions (`body.py`), with variation in body, pace and manner. More than ninety kinds of action with side, speed,
direction, count and size, alone, in pairs and at the same time, each in several wordings.
"""

from .actions import ACTIONS, get_action
from .body import GENERATED_SKELETONS, Body, Proportions, generated_skeleton
from .clips import GeneratedMotion, Plan, generate_motion, generate_motions
from .dataset import build_generated, generated_source
from .tracks import Style


ACTION_KINDS = tuple(sorted(ACTIONS))

__all__ = [
    "ACTIONS", "ACTION_KINDS", "Body", "GENERATED_SKELETONS", "GeneratedMotion", "Plan", "Proportions", "Style", "build_generated",
    "generate_motion", "generate_motions", "generated_source", "generated_skeleton", "get_action",
]  # fmt: skip
