"""The 150 action categories of BABEL's benchmarks, most frequent first; BABEL-60 and BABEL-120 are its beginnings."""

import json
from pathlib import Path

from .report import MotionDataError


# The order of BABEL's action_label_2_idx.json; `transition` is in none of the benchmarks.
_CATEGORIES = """walk; stand; hand movements; turn; interact with / use object; arm movements; t pose; step;
backwards movement; raising body part; look; touch object; stretch; jump; circular movement; legs movement;
forwards movement; sit; run; place something; take/pick something up; throw; touching body parts; bend; foot movement;
kick; move up/down incline; stand up; a pose; lowering body part; sideways movement; actions with ball; gesture;
head movements; jog; grasp object; greet; waist movements; move something; dance; lift something; knee movement;
exercise / training; swing body part; catch; lean; sports moves; touching face; poses; clean something; punch; squat;
scratch; perform; play sport; hop; cross limbs; stumble; balance; grab person / body part; kneel; shake; clap; spin;
martial arts; crouch; knock; crawl; adjust; animal behavior; twist; upper body movement; telephone call; bow;
touch ground; hit; shoulder movements; tap; skip; support; spread; rolling motion; play instrument; jump rope;
play catch; evade; drink; lie; communicate (vocalize); point; side to side movement; protect; stop; give something;
pour; wrist movements; wait; jumping jacks; dribble; shuffle; swim; rub; limp; mix; press something; open something;
golf; cartwheel; sudden movement; trip; leap; sway; stagger; stances; duck; get injured; check; flap; lunge; slide;
shrug; yoga; salute; eat; sneak; tie; wiggle; zombie; relax; mime; flip; shivering; style hair; wash; pray; play; draw;
interact with rope; wobble; release; march; stroke; swipe; listen; fall; rocking movement; strafe; hang; search;
flail arms"""
CATEGORIES = tuple(" ".join(category.split()) for category in _CATEGORIES.split(";"))


def babel_classes(num_classes: int = 60, path: str | Path | None = None) -> tuple[str, ...]:
    """The classes of BABEL-60, or of the benchmark with another number of them, in the order of their indices.

    Args:
        num_classes (`int`, *optional*, defaults to 60): 60, 120, or any number up to 150.
        path (`str` or `Path`, *optional*): An `action_label_2_idx.json` that is used instead where it exists.

    Returns:
        `tuple[str, ...]`: `num_classes` category names.

    Raises:
        MotionDataError: There are not that many, or the file is not a mapping of names to indices.

    Example:

    ```python
    >>> from modeling_motionpatch.data import babel_classes
    >>> babel_classes(60)[:3]
    ('walk', 'stand', 'hand movements')
    ```
    """
    categories = CATEGORIES
    if path is not None and Path(path).is_file():
        try:
            indices = json.loads(Path(path).read_text(encoding="utf-8"))
            categories = tuple(sorted(indices, key=lambda name: int(indices[name])))
            if [int(indices[name]) for name in categories] != list(range(len(categories))):
                raise ValueError("the indices are not 0, 1, 2, ...")
        except (ValueError, TypeError, AttributeError) as error:
            raise MotionDataError(f"{path}: not a mapping of category names to indices ({error}).") from None
    if not isinstance(num_classes, int) or not 1 <= num_classes <= len(categories):
        raise MotionDataError(f"num_classes={num_classes!r}; give a number from 1 to {len(categories)}.")
    return categories[:num_classes]
