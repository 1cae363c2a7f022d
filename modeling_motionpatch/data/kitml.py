"""KIT-ML folder in HumanML3D's format -> rows: joints (T, 21, 3) [m, Y up, 12.5 fps] with their captions.

The distributed `new_joints` are in millimetres; rows are in metres. The rate stays 12.5 fps in the `fps` column:
resampling is the feature extractor's task.
"""

from collections.abc import Sequence
from pathlib import Path

from .humanml3d import _text_motion_source
from .sources import MotionSource


def kitml_source(
    data_dir: str | Path | None,
    *,
    splits: str | Sequence[str] | None = None,
    max_items: int | None = None,
    include_mirrored: bool = True,
    evaluation_rows: str = "all",
    units: str | None = None,
) -> MotionSource:
    """KIT-ML as the HumanML3D project distributes it; the options are those of [`humanml3d_source`].

    The unit is measured from the bones. Statistics computed on the files as they are (the official ones) belong to
    joints in that unit: pass `units="keep"` with them, or scale them by 0.001.
    """
    return _text_motion_source(
        "kitml", data_dir, "kit21", 12.5, splits, max_items, include_mirrored, evaluation_rows, units
    )
