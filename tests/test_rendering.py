"""Pictures and animations: the files are opened again and their pixels looked at."""

import json
import re
import shutil

import numpy as np
import pytest

from modeling_motionpatch.data.generated import generate_motion
from modeling_motionpatch.rendering import (
    PART_COLORS,
    RenderingError,
    draw_frames,
    render_animation,
    render_html,
    render_patches,
    render_strip,
)
from modeling_motionpatch.skeletons_motionpatch import BODY_PARTS, Skeleton, SkeletonError


PIL = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def clip():
    return generate_motion(
        {"kind": "raise_arm", "side": "left", "dir": "sideways", "count": 1, "speed": ""}, rng=0, place=False
    )


def pixels(image):
    return np.asarray(image.convert("RGB")).astype(int)


def where(image, color, tolerance=40):
    """Rows and columns of pixels of about a colour."""
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return np.argwhere(np.abs(pixels(image) - wanted).sum(-1) < tolerance)


@pytest.mark.parametrize("skeleton", ["smpl22", "kit21", "mixamo"])
def test_strip_shows_five_parts_in_five_colours(tmp_path, skeleton):
    clip = generate_motion("walk", skeleton, 0)
    path = render_strip(
        clip.joints, clip.skeleton, tmp_path / "strip.png", num_frames=4, title="a person walks", fps=20
    )
    image = PIL.open(path)
    assert image.size[0] > image.size[1] and image.size[1] >= 220
    for part in BODY_PARTS:
        assert len(where(image, PART_COLORS[part])) > 50, part


def test_left_arm_is_on_the_right_when_seen_from_the_front(clip):
    middle = len(clip.joints) // 2
    image = draw_frames(clip.joints[middle : middle + 1], clip.skeleton, azimuth=0, elevation=0)[0]
    left, right = where(image, PART_COLORS["left_arm"]), where(image, PART_COLORS["right_arm"])
    assert left[:, 1].max() > right[:, 1].max() + 60  # the raised left arm reaches to the viewer's right
    behind = draw_frames(clip.joints[middle : middle + 1], clip.skeleton, azimuth=180, elevation=0)[0]
    left = where(behind, PART_COLORS["left_arm"])
    assert left[:, 1].min() < where(behind, PART_COLORS["right_arm"])[:, 1].min() - 60


def test_head_is_up_and_the_view_follows_the_first_heading(clip):
    image = draw_frames(clip.joints[:1], clip.skeleton, azimuth=0, elevation=0)[0]
    assert where(image, PART_COLORS["torso"])[:, 0].min() < where(image, PART_COLORS["left_leg"])[:, 0].min()
    turned = clip.joints @ np.array([[0, 0, -1.0], [0, 1, 0], [1, 0, 0]])
    again = draw_frames(turned[:1], clip.skeleton, azimuth=0, elevation=0)[0]
    assert (
        np.abs(where(image, PART_COLORS["left_arm"]).mean(0) - where(again, PART_COLORS["left_arm"]).mean(0)).max()
        < 12
    )


def test_a_root_that_stays_behind_does_not_widen_the_picture(tmp_path, clip):
    """Some vendors hang the hips on a joint at the world's origin."""
    names = ["world", *clip.skeleton.joints]
    skeleton = Skeleton.from_hierarchy(names, [-1, *(parent + 1 for parent in clip.skeleton.parents)])
    joints = np.concatenate([np.zeros((len(clip.joints), 1, 3)), clip.joints + [20.0, 0, 20.0]], axis=1)
    with PIL.open(render_strip(clip.joints, clip.skeleton, tmp_path / "a.png")) as plain:
        with PIL.open(render_strip(joints, skeleton, tmp_path / "b.png")) as hung:
            assert hung.size == plain.size


def test_gif_keeps_the_duration(tmp_path, clip):
    for fps, frames in ((20.0, clip.joints[:30]), (120.0, np.repeat(clip.joints[:20], 6, axis=0))):
        path = render_animation(frames, clip.skeleton, tmp_path / "motion.gif", fps=fps, size=(96, 96))
        with PIL.open(path) as image:
            total = 0
            for index in range(image.n_frames):
                image.seek(index)
                total += image.info["duration"]
            assert image.info.get("loop") == 0
        assert abs(total / 1000 - len(frames) / fps) < 0.12


def test_gif_moves(tmp_path, clip):
    path = render_animation(clip.joints[:20], clip.skeleton, tmp_path / "motion.gif", fps=20, size=(120, 120))
    with PIL.open(path) as image:
        assert image.size == (120, 120)
        first = pixels(image)
        image.seek(image.n_frames - 1)
        assert np.abs(first - pixels(image)).sum() > 1000


def test_camera_follows_long_ways(clip):
    walk = generate_motion({"kind": "walk", "length": "long"}, rng=1, place=False)
    for follow, moves in ((True, False), (False, True), (None, True if np.ptp(walk.joints[:, 0, 2]) < 3 else False)):
        images = draw_frames(walk.joints[::20], walk.skeleton, size=(200, 200), follow=follow)
        places = [where(image, PART_COLORS["torso"])[:, 1].mean() for image in images]
        assert (np.ptp(places) > 30) == moves


def test_mp4_needs_ffmpeg(tmp_path, clip, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RenderingError, match="ffmpeg"):
        render_animation(clip.joints[:3], clip.skeleton, tmp_path / "motion.mp4")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_mp4(tmp_path, clip):
    path = render_animation(clip.joints[:5], clip.skeleton, tmp_path / "motion.mp4", size=(95, 95))
    assert path.read_bytes()[4:8] == b"ftyp"


def test_patches_are_rgb_of_xyz(tmp_path):
    values = np.zeros((3, 224, 80), np.float32)
    values[0, :48, :16], values[1, :48, 16:32], values[2, :48, 32:48] = 1, 1, 1  # x, y, z in three parts
    image = PIL.open(render_patches(values, tmp_path / "patches.png", scale=2))
    assert image.size == (160, 96 + 16)  # padding is left out, a line of names above
    for part, expected in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255))):
        assert tuple(pixels(image)[16 + 20, part * 32 + 10]) == expected
    with PIL.open(render_patches(values[None], tmp_path / "all.png", scale=1, num_frames=224)) as whole:
        assert whole.size == (80, 224 + 16)


def test_html_plays_offline(tmp_path, clip):
    other = generate_motion("walk", "mixamo", 1)
    path = render_html(
        [clip.joints, other.joints], [clip.skeleton, other.skeleton], tmp_path / "m.html", fps=[20.0, 20.0],
        captions=["raises </script><script>alert(1)", "walks & <b>waves</b>"],
    )  # fmt: skip
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)\s*=|https?://|@import|fetch\(|XMLHttpRequest", page)
    assert page.count('class="stage"') == 2 and "MotionPlayer.add(" in page
    assert "alert(1)" in page and "<script>alert" not in page and "<b>waves" not in page
    data = json.loads(re.search(r'<script type="application/json" id="clips">(.*?)</script>', page, re.S).group(1))
    assert [len(entry["frames"]) for entry in data] == [len(clip.joints), len(other.joints)]
    back = np.array(data[1]["frames"]).reshape(-1, 37, 3) / 1000
    assert np.abs((back - back[0, 0]) - (other.joints - other.joints[0, 0]))[:, 1:].max() <= 0.0011
    assert {color for _, _, color in data[0]["bones"]} == set(PART_COLORS.values())
    assert len(data[1]["bones"]) == 36


@pytest.mark.parametrize(
    "change,error,words",
    [
        (lambda j: (j[:, :10], "smpl22"), RenderingError, "10 joints"),
        (lambda j: (j[:0], "smpl22"), RenderingError, "no frame"),
        (lambda j: (j[0], "smpl22"), RenderingError, "shape"),
        (lambda j: (np.where(np.arange(len(j))[:, None, None] == 2, np.nan, j), "smpl22"), RenderingError, r"\[2\]"),
        (lambda j: (j, "nobody"), SkeletonError, "nobody"),
    ],
)
def test_bad_joints_are_refused(tmp_path, clip, change, error, words):
    joints, skeleton = change(clip.joints)
    for call in (
        lambda: render_strip(joints, skeleton, tmp_path / "a.png"),
        lambda: render_animation(joints, skeleton, tmp_path / "a.gif"),
        lambda: render_html([joints], skeleton, tmp_path / "a.html"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_other_bad_input_is_refused(tmp_path, clip):
    for call, words in (
        (lambda: render_strip(clip.joints, clip.skeleton, tmp_path / "a.bmp"), "png"),
        (lambda: render_strip(clip.joints, clip.skeleton, tmp_path / "a.png", num_frames=0), "num_frames"),
        (lambda: render_animation(clip.joints, clip.skeleton, tmp_path / "a.gif", fps=0), "fps"),
        (lambda: render_patches(np.zeros((2, 3, 224, 80)), tmp_path / "a.png"), "one motion"),
        (lambda: render_patches(np.full((3, 16, 80), np.nan), tmp_path / "a.png"), "NaN"),
        (lambda: render_html([], clip.skeleton, tmp_path / "a.html"), "no motion"),
        (lambda: render_html([clip.joints], clip.skeleton, tmp_path / "a.html", captions=["a", "b"]), "captions"),
    ):
        with pytest.raises(RenderingError, match=words):
            call()


def test_missing_pillow_is_named(tmp_path, clip, monkeypatch):
    import builtins

    real = builtins.__import__

    def without_pillow(name, *args, **kwargs):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(ImportError, match="viz"):
        render_strip(clip.joints, clip.skeleton, tmp_path / "a.png")
    assert render_html(clip.joints, clip.skeleton, tmp_path / "a.html").exists()
