"""Joints (T, J, 3) in metres -> one HTML page that plays them: canvas, play, scrub, turn; nothing is loaded from elsewhere."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .rendering_base import (
    OTHER_COLOR,
    PART_COLORS,
    RenderingError,
    bones_of,
    check_fps,
    check_joints,
    check_suffix,
    first_heading,
)
from .skeletons_motionpatch import Skeleton


_PLAYER = """
(function () {
  const data = JSON.parse(document.getElementById("motions").textContent);
  for (const clip of data) {
    const box = document.getElementById(clip.id), canvas = box.querySelector("canvas"), ctx = canvas.getContext("2d");
    const button = box.querySelector("button"), bar = box.querySelector("input"), label = box.querySelector("span");
    const T = clip.frames.length, n = clip.frames[0].length / 3;
    let azimuth = clip.azimuth, elevation = 0.22, zoom = 1, frame = 0, playing = true, last = 0;
    let low = [1e9, 0, 1e9], high = [-1e9, 1.8, -1e9];
    for (const f of clip.frames) for (let j = 0; j < n; j++) for (let k = 0; k < 3; k++) {
      const v = f[3 * j + k] / 1000; if (v < low[k]) low[k] = v; if (v > high[k]) high[k] = v;
    }
    const mid = low.map((v, k) => (v + high[k]) / 2);
    const span = Math.max(high[0] - low[0], high[1] - low[1], high[2] - low[2], 1.8) * 1.12;
    function project(x, y, z) {
      x -= mid[0]; y -= mid[1]; z -= mid[2];
      const ca = Math.cos(azimuth), sa = Math.sin(azimuth), ce = Math.cos(elevation), se = Math.sin(elevation);
      const right = ca * x - sa * z, toward = sa * x + ca * z, up = ce * y - se * toward;
      const s = zoom * Math.min(canvas.width, canvas.height) / span;
      return [canvas.width / 2 + s * right, canvas.height / 2 - s * up, ce * toward + se * y];
    }
    function draw() {
      const f = clip.frames[Math.min(T - 1, Math.floor(frame))];
      ctx.fillStyle = "#ffffff"; ctx.fillRect(0, 0, canvas.width, canvas.height);
      ctx.strokeStyle = "#e2e2e2"; ctx.lineWidth = 1;
      const step = span > 12 ? 2 : 0.5;
      for (let x = Math.floor(low[0] / step) * step; x <= high[0] + step; x += step) {
        line(project(x, 0, low[2] - 0.3), project(x, 0, high[2] + 0.3));
      }
      for (let z = Math.floor(low[2] / step) * step; z <= high[2] + step; z += step) {
        line(project(low[0] - 0.3, 0, z), project(high[0] + 0.3, 0, z));
      }
      const seen = []; for (let j = 0; j < n; j++) seen.push(project(f[3 * j] / 1000, f[3 * j + 1] / 1000, f[3 * j + 2] / 1000));
      const bones = clip.bones.slice().sort((a, b) => seen[a[0]][2] + seen[a[1]][2] - seen[b[0]][2] - seen[b[1]][2]);
      ctx.lineCap = "round";
      for (const [a, b, color] of bones) {
        ctx.strokeStyle = color; ctx.lineWidth = color === "%(other)s" ? 1.5 : 4; line(seen[a], seen[b]);
      }
      if (clip.head) {
        const a = clip.head[1], b = clip.head[0], p = k => (f[3 * b + k] + 0.25 * (f[3 * b + k] - f[3 * a + k])) / 1000;
        const c = project(p(0), p(1), p(2));
        ctx.strokeStyle = "%(torso)s"; ctx.lineWidth = 2; ctx.beginPath();
        ctx.arc(c[0], c[1], 0.1 * zoom * Math.min(canvas.width, canvas.height) / span, 0, 7); ctx.stroke();
      }
      bar.value = Math.floor(frame);
      label.textContent = (frame / clip.fps).toFixed(1) + " / " + (T / clip.fps).toFixed(1) + " s";
    }
    function line(a, b) { ctx.beginPath(); ctx.moveTo(a[0], a[1]); ctx.lineTo(b[0], b[1]); ctx.stroke(); }
    function tick(now) {
      if (playing) { frame = (frame + Math.min(0.2, (now - last) / 1000) * clip.fps) %% T; draw(); }
      last = now; requestAnimationFrame(tick);
    }
    button.onclick = () => { playing = !playing; button.textContent = playing ? "Pause" : "Play"; };
    bar.oninput = () => { playing = false; button.textContent = "Play"; frame = Number(bar.value); draw(); };
    let held = null;
    canvas.onpointerdown = e => { held = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); };
    canvas.onpointermove = e => {
      if (!held) return;
      azimuth -= (e.clientX - held[0]) * 0.01;
      elevation = Math.max(-0.2, Math.min(1.5, elevation + (e.clientY - held[1]) * 0.01));
      held = [e.clientX, e.clientY]; draw();
    };
    canvas.onpointerup = () => { held = null; };
    draw(); requestAnimationFrame(t => { last = t; tick(t); });
  }
})();
"""
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; color: #222; background: #f6f6f6; margin: 1.5rem; }
main { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { background: #fff; border: 1px solid #ddd; border-radius: 6px; margin: 0; padding: .6rem; }
figcaption { max-width: 340px; min-height: 2.8em; }
canvas { width: 340px; height: 340px; display: block; touch-action: none; cursor: grab; }
.bar { display: flex; gap: .5rem; align-items: center; } .bar input { flex: 1; } .bar span { font-size: 12px; color: #666; }
.key b { font-weight: normal; margin-right: 1em; } .key i { display: inline-block; width: 1.4em; height: .35em; margin-right: .3em; vertical-align: middle; }
"""


def motion_html(
    motions: "np.ndarray | Sequence[np.ndarray]",
    skeleton: "str | Mapping | Skeleton | Sequence" = "smpl22",
    *,
    fps: "float | Sequence[float]" = 20.0,
    captions: "str | Sequence[str] | None" = None,
    title: str = "Motion",
    azimuth: float = 35.0,
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
    clips, figures = [], []
    for index, (joints, of, rate, text) in enumerate(zip(motions, skeletons, rates, texts)):
        joints, of = check_joints(joints, of)
        torso = of.chains["torso"]
        clips.append({
            "id": f"motion{index}",
            "fps": check_fps(rate),
            "azimuth": float(np.radians(azimuth + first_heading(joints, of))),
            "bones": bones_of(of),
            "head": [torso[-1], torso[-2]] if len(torso) >= 3 else None,
            "frames": np.round(joints * 1000).astype(int).reshape(len(joints), -1).tolist(),  # millimetres
        })  # fmt: skip
        figures.append(
            f'<figure id="motion{index}"><canvas width="680" height="680"></canvas><div class="bar">'
            f'<button type="button">Pause</button><input type="range" min="0" max="{len(joints) - 1}" value="0" '
            f'aria-label="time"><span></span></div><figcaption>{html.escape(text)}</figcaption></figure>'
        )
    key = "".join(
        f'<b><i style="background:{color}"></i>{part.replace("_", " ")}</b>' for part, color in PART_COLORS.items()
    )
    data = json.dumps(clips, separators=(",", ":")).replace("<", "\\u003c")
    script = _PLAYER % {"other": OTHER_COLOR, "torso": PART_COLORS["torso"]}
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1><p class="key">{key}</p>'
        f'<main>{"".join(figures)}</main><script type="application/json" id="motions">{data}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def render_html(
    motions: "np.ndarray | Sequence[np.ndarray]",
    skeleton: "str | Mapping | Skeleton | Sequence" = "smpl22",
    path: "str | Path" = "motion.html",
    *,
    fps: "float | Sequence[float]" = 20.0,
    captions: "str | Sequence[str] | None" = None,
    title: str = "Motion",
    azimuth: float = 35.0,
) -> Path:
    """Writes an HTML page that plays one or several motions: play, pause, scrub, turn by dragging.

    The page is one file: the motions are in it as JSON in millimetres and nothing is loaded from elsewhere.

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
