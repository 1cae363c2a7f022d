"""Joints (T, J, 3) in metres -> one HTML page that plays them: player, style and motions are in it, nothing is loaded.

`static/player.js` is the only player: of these pages, of pages of hits, and of the demo.
"""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .rendering_base import RenderingError, check_suffix
from .rendering_moments import VIEW_DEGREES, Moment, color_key, player_clip
from .skeletons_motionpatch import Skeleton, get_skeleton


STATIC = Path(__file__).parent / "static"
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
_START = """
const clips = JSON.parse(document.getElementById("clips").textContent);
for (const stage of document.querySelectorAll(".stage")) MotionPlayer.add(stage, clips[Number(stage.dataset.clip)]);
"""


def player_page(title: str, body: str, clips: list[dict], heading: bool = True) -> str:
    """HTML with `<div class="stage" data-clip="0">` in it, and the clips that play there -> a page that needs no other file.

    Args:
        title (`str`): Of the page; escaped.
        body (`str`): HTML.
        clips (`list[dict]`): From [`player_clip`].
        heading (`bool`, *optional*, defaults to `True`): Whether title and colour key stand above the body.
    """
    data = json.dumps(clips, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    player, style = ((STATIC / name).read_text(encoding="utf-8") for name in ("player.js", "player.css"))
    head = f"<h1>{html.escape(title)}</h1>{key_html()}" if heading else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{style}</style></head><body><main>{head}{body}</main>"
        f'<script type="application/json" id="clips">{data}</script><script>{player}{_START}</script></body></html>\n'
    )


def key_html() -> str:
    """The colours of the body parts, as a line of HTML."""
    spans = "".join(
        f'<span><svg aria-hidden="true"><rect width="100%" height="100%" fill="{color}"/></svg>{name}</span>'
        for name, color in color_key()
    )
    return f'<p class="key">{spans}</p>'


def motion_html(
    motions: "np.ndarray | Sequence[np.ndarray]",
    skeleton: "str | Mapping | Skeleton | Sequence" = "smpl22",
    *,
    fps: "float | Sequence[float]" = 20.0,
    captions: "str | Sequence[str] | None" = None,
    title: str = "Motion",
    azimuth: float = VIEW_DEGREES,
) -> str:
    """One or several motions as a self-contained HTML page; see [`render_html`]."""
    if isinstance(motions, np.ndarray) and motions.ndim == 3:
        motions = [motions]
    motions = list(motions)
    if not motions:
        raise RenderingError("There is no motion to show.")
    skeletons = list(skeleton) if isinstance(skeleton, (list, tuple)) else [skeleton] * len(motions)
    rates = list(fps) if isinstance(fps, (list, tuple)) else [fps] * len(motions)
    texts = [captions] if isinstance(captions, str) else [""] * len(motions) if captions is None else list(captions)
    for name, values in (("skeleton", skeletons), ("fps", rates), ("captions", texts)):
        if len(values) != len(motions):
            raise RenderingError(f"{len(motions)} motions but {len(values)} values of `{name}`; give one each.")
    clips = [
        player_clip(Moment(joints, get_skeleton(of), rate), azimuth)
        for joints, of, rate in zip(motions, skeletons, rates)
    ]
    cards = "".join(
        f'<li class="hit"><div class="stage" data-clip="{index}"></div><p class="caption">{html.escape(text)}</p></li>'
        for index, text in enumerate(texts)
    )
    return player_page(title, f'<ol class="hits">{cards}</ol>', clips)


def render_html(
    motions: "np.ndarray | Sequence[np.ndarray]",
    skeleton: "str | Mapping | Skeleton | Sequence" = "smpl22",
    path: "str | Path" = "motion.html",
    *,
    fps: "float | Sequence[float]" = 20.0,
    captions: "str | Sequence[str] | None" = None,
    title: str = "Motion",
    azimuth: float = VIEW_DEGREES,
) -> Path:
    """Writes an HTML page that plays one or several motions: play, pause, scrub, turn by dragging.

    The page is one file: the motions are in it as JSON in millimetres and nothing is loaded from elsewhere. Frames above
    30 a second are left out.

    Args:
        motions (`np.ndarray` of shape `(T, J, 3)`, or a sequence of them): Metres, +Y up.
        skeleton (*optional*, defaults to `"smpl22"`): Of all, or a list with one each.
        path (`str` or `Path`): A `.html` file to write.
        fps (`float` or sequence, *optional*, defaults to 20): Frames a second.
        captions (`str` or sequence, *optional*): Written under each; escaped.
        title (`str`, *optional*): Of the page.
        azimuth (`float`, *optional*, defaults to 35): As in [`render_strip`].

    Returns:
        `Path`: The file.

    Raises:
        RenderingError: As [`render_strip`]; numbers of motions and of captions that differ.
    """
    path = check_suffix(path, (".html", ".htm"))
    path.write_text(
        motion_html(motions, skeleton, fps=fps, captions=captions, title=title, azimuth=azimuth), encoding="utf-8"
    )
    return path
