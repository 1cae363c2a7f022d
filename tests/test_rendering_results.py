"""Pages of hits and attention maps: numbers against a second route, what is escaped, what moves in a real browser."""

import json
import re

import numpy as np
import pytest
import torch
from browser import CHROMEDRIVER, CHROMIUM, Browser
from conftest import tiny_config

from modeling_motionpatch import MotionPatchFeatureExtractor, MotionPatchModel
from modeling_motionpatch.data.generated import generate_motion, generate_motions
from modeling_motionpatch.io import Motion, save_motion
from modeling_motionpatch.rendering_attention import METHODS, attention_map, patch_weights, render_attention
from modeling_motionpatch.rendering_base import RenderingError
from modeling_motionpatch.rendering_moments import Moment, MotionSource, player_clip
from modeling_motionpatch.rendering_results import HtmlView, render_results, show_motion, show_results
from modeling_motionpatch.retrieval.search import Hit
from modeling_motionpatch.skeletons_motionpatch import Skeleton


@pytest.fixture(scope="module")
def clips():
    return generate_motions(3, ["smpl22", "kit21", "mixamo"], split="test")


@pytest.fixture(scope="module")
def hits(clips):
    return [Hit(clip.id, 0.9 - 0.1 * i, 0.5, 1.5, clip.captions[0], clip.captions) for i, clip in enumerate(clips)]


def clips_of(page: str) -> list[dict]:
    return json.loads(re.search(r'id="clips">(.*?)</script>', page, re.DOTALL)[1])


# --------------------------------------------------------------------------------------------------------------------
# Moments


def test_a_moment_is_cut_out_of_its_motion(clips, hits, tmp_path):
    folder = tmp_path / "motions"
    folder.mkdir()
    for clip in clips:
        save_motion(folder / f"{clip.id}.npz", Motion(clip.joints, clip.fps, clip.skeleton))
    sources = [MotionSource(clips, [clip.id for clip in clips]), MotionSource(folder), MotionSource()]
    for clip, hit in zip(clips, hits):
        for source in sources:  # a list, files, and made again from the id
            moment = source.moment(hit)
            np.testing.assert_allclose(moment.joints, clip.joints[10:30], atol=1e-5)
            assert moment.skeleton.joints == clip.skeleton.joints and moment.start == 0.5
            np.testing.assert_array_equal(source.moment(hit.to_dict()).joints, moment.joints)


def test_a_long_take_is_read_once(clips):
    source = MotionSource(clips[:1], ["take"])
    reads = []
    take = source._takes["take"]
    read, take.read = take.read, lambda: reads.append(1) or read()
    for start in (0.0, 1.0):
        source.moment(Hit("take", 0.5, start, start + 1))
    assert len(reads) == 1
    assert len(source.moment(Hit("take", 0.5)).joints) == len(clips[0].joints)  # without times: all of it
    assert len(source.moment(Hit("take", 0.5, 99.0, 100.0)).joints) == 1  # behind the end: the last frame, no error


def test_what_is_not_at_hand_is_said():
    source = MotionSource()
    with pytest.raises(RenderingError, match="'walk_01' is not at hand; pass `motions=`"):
        source.moment(Hit("walk_01", 0.5))
    with pytest.raises(RenderingError, match="generated differently"):
        source.moment(Hit("generated-0-test-000000", 0.5, captions=["something that it never said"]))


def test_the_players_numbers_are_the_joints_in_millimetres(clips):
    moment = Moment(clips[0].joints + [3.0, 0.7, -2.0], clips[0].skeleton, 20.0)
    clip = player_clip(moment)
    frames = np.array(clip["frames"]).reshape(len(moment.joints), -1, 3) / 1000
    shift = moment.joints - frames
    assert np.ptp(shift.reshape(-1, 3), axis=0).max() < 1.1e-3  # one shift for all, to the millimetre
    assert frames[..., 1].min() == 0 and np.abs(frames[0, moment.skeleton.pelvis, [0, 2]]).max() == 0
    assert {color for _, _, color in clip["bones"]} >= {"#444444", "#e4572e", "#2e86de"}
    fast = player_clip(Moment(np.repeat(clips[0].joints, 6, axis=0), clips[0].skeleton, 120.0))
    assert fast["fps"] == 30.0 and abs(len(fast["frames"]) / 30 - len(clips[0].joints) / 20) < 0.05


def test_a_root_that_stays_behind_is_not_drawn():
    """Some vendors' files have a root on the origin, above the hips that walk away."""
    clip = generate_motion("walk", "smpl22", 0)
    skeleton = Skeleton.from_hierarchy(
        ["joint_Root", *clip.skeleton.joints], [-1, *(p + 1 for p in clip.skeleton.parents)]
    )
    assert skeleton.pelvis == 1
    joints = np.concatenate([np.full_like(clip.joints[:, :1], 9.0), clip.joints], axis=1)
    frames = np.array(player_clip(Moment(joints, skeleton, 20.0))["frames"]).reshape(len(joints), -1, 3)
    np.testing.assert_array_equal(frames[:, 0], frames[:, 1])
    plain = np.array(player_clip(Moment(clip.joints, clip.skeleton, 20.0))["frames"]).reshape(len(joints), -1, 3)
    np.testing.assert_array_equal(frames[:, 1:], plain)
    assert np.all(joints[:, 0] == 9.0)  # the caller's array is as it was


def test_two_persons_are_both_drawn(clips):
    joints = np.stack([clips[0].joints, clips[0].joints + [1.0, 0, 0]], axis=1)
    one, two = player_clip(Moment(joints[:, 0], "smpl22", 20.0)), player_clip(Moment(joints, "smpl22", 20.0))
    assert len(two["bones"]) == 2 * len(one["bones"]) and len(two["heads"]) == 2
    assert np.allclose(np.array(two["frames"])[:, 66::3] - np.array(two["frames"])[:, :66:3], 1000, atol=1)


# --------------------------------------------------------------------------------------------------------------------
# Pages


def test_page_shows_hits_in_order_and_escapes_what_others_wrote(tmp_path, clips, hits):
    evil = Hit("</script><img src=x>", 0.1, 0.0, 1.0, "<script>alert(1)</script>")
    path = render_results([*hits, evil], tmp_path / "hits.html", clips, query='say "<b>hi</b>"')
    page = path.read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<img" not in page and "<b>hi" not in page
    assert [m for m in re.findall(r"score <b>([\d.]+)</b>", page)] == ["0.900", "0.800", "0.700", "0.100"]
    assert page.count("0.5 – 1.5 s") == 3 and page.count('class="missing"') == 1
    page = show_results([*hits, evil], MotionSource(), query="q").html
    assert page.count('class="missing"') == 1 and len(clips_of(page)) == 3
    assert not re.search(r"<[^>]*(src|href)\s*=|https?://|url\(|@import", page)


def test_several_queries_have_a_section_each(hits):
    page = show_results([hits[:2], hits[2:]], query=["first one", "second one"]).html
    sections = page.split("<section>")[1:]
    assert [section.count('class="hit"') for section in sections] == [2, 1]
    assert "first one" in sections[0] and "second one" in sections[1]
    dicts = show_results([hit.to_dict() for hit in hits]).html
    assert clips_of(dicts) == clips_of(show_results(hits).html)


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(hits):
    view = show_motion(generate_motion("walk", rng=0), caption='a "walk"')
    frame = view._repr_html_()
    assert frame.startswith("<iframe srcdoc=") and 'sandbox="allow-scripts"' in frame
    import html

    assert html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1]) == view.html
    assert isinstance(show_results(hits), HtmlView) and "characters" in repr(view)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda h, p: show_results(h, query=["a", "b"]), "1 lists of hits but 2 values"),
        (lambda h, p: show_results("a person walks"), "`hits` is a str"),
        (lambda h, p: show_results(h[0].to_dict()), "`hits` is a dict"),
        (lambda h, p: show_results([{"score": 0.5}]), "no hit"),
        (lambda h, p: render_results(h, p / "hits.pdf"), "must end in .html"),
        (lambda h, p: show_motion(np.zeros((5, 21, 3)), "smpl22"), "21 joints"),
        (lambda h, p: show_motion(np.full((5, 22, 3), np.nan)), "NaN"),
        (lambda h, p: show_motion(np.zeros((5, 22))), r"shape \(T, J, 3\)"),
        (lambda h, p: show_motion(np.zeros((5, 22, 3)), fps=0), "fps must be"),
    ],
)
def test_bad_input_is_refused(hits, tmp_path, call, message):
    with pytest.raises(RenderingError, match=message):
        call(hits, tmp_path)


@pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver")
def test_the_page_moves_in_a_browser_without_a_server(tmp_path, hits):
    path = render_results(hits, tmp_path / "hits.html", query="three motions")
    with Browser(tmp_path / "profile") as browser:
        browser.open(path.as_uri())
        browser.wait_until("document.querySelectorAll('.stage canvas').length == 3")
        first = browser.run("return document.querySelector('canvas').toDataURL()")
        browser.wait_until(f"document.querySelector('canvas').toDataURL().length != {len(first)}")
        assert browser.run("return document.querySelector('.time').textContent").endswith(" s")
        browser.click(".play")  # pause
        stopped = browser.run("return document.querySelector('canvas').toDataURL()")
        browser.wait_until("document.querySelector('.play').getAttribute('aria-label') == 'play'")
        assert browser.run("return document.querySelector('canvas').toDataURL()") == stopped
        browser.type("canvas", "\ue012")  # arrow to the left: turned without a mouse
        assert browser.run("return document.querySelector('canvas').toDataURL()") != stopped
        assert browser.errors() == []


# --------------------------------------------------------------------------------------------------------------------
# Attention


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = MotionPatchModel(tiny_config()).eval()
    with torch.no_grad():  # attention that differs between patches, as after training
        for block in made.motion_model.vit.blocks:
            block.attn.qkv.weight *= 12
    return made


@pytest.fixture(scope="module")
def extractor():
    return MotionPatchFeatureExtractor(normalization="none")


def test_rollout_is_the_product_of_matrices():
    rng = np.random.default_rng(0)
    layers = rng.random((3, 7, 7))
    layers /= layers.sum(-1, keepdims=True)
    seen = np.array([[True, True, False], [True, True, True]])
    product = np.eye(7)
    for layer in layers:
        product = (0.5 * layer + 0.5 * np.eye(7)) @ product
    for pooling, rows in (("cls", [0]), ("avg", [1, 2, 4, 5, 6])):
        expected = product[rows].mean(0)[1:] * seen.reshape(-1)
        got = patch_weights(layers, seen, 1, pooling, "rollout")
        np.testing.assert_allclose(got, (expected / expected.sum()).reshape(2, 3))
    last = layers[-1][0, 1:] * seen.reshape(-1)
    np.testing.assert_allclose(patch_weights(layers, seen, 1, "cls", "last").reshape(-1), last / last.sum())


@pytest.mark.parametrize("method", METHODS)
def test_map_covers_the_motion_and_sums_to_one(model, extractor, clips, method):
    for clip in clips:
        result = attention_map(model, extractor, clip, method=method)
        rows = -(-len(clip.joints) // 16)
        assert result.weights.shape == (rows, 5) and result.edges[-1] == pytest.approx(len(clip.joints) / 20)
        assert np.nansum(result.weights) == pytest.approx(1, abs=1e-5) and result.padding == pytest.approx(0, abs=1e-6)
        assert sum(result.by_part().values()) == pytest.approx(1, abs=1e-5)
    zeros = MotionPatchFeatureExtractor(normalization="none", padding="zeros")
    assert 0 < attention_map(model, zeros, clips[0], method=method).padding < 1  # attended to, and told


def test_map_follows_what_the_model_attends_to(model, extractor):
    """A key that every query loves has to come out on top: the second route is the model's own weights."""
    clip = generate_motion("walk", rng=0)
    plain = attention_map(model, extractor, clip, method="last").weights
    inputs = extractor(clip.joints, skeleton=clip.skeleton, fps=clip.fps, return_tensors="pt")
    with torch.no_grad():
        layer = model.get_motion_features(**inputs, output_attentions=True).attentions[-1][0].mean(0).numpy()
    patches = layer[1:, 1:].mean(0)  # unmasked queries and keys: the input is trimmed to them
    expected = patches.reshape(-1, 5)
    np.testing.assert_allclose(plain, expected / expected.sum(), atol=1e-6)


def test_picture_of_attention(tmp_path, model, extractor, clips):
    image_module = pytest.importorskip("PIL.Image")
    result = attention_map(model, extractor, clips[2])
    path = render_attention(result, tmp_path / "attention.png", title=clips[2].captions[0])
    pixels = np.asarray(image_module.open(path).convert("RGB")).astype(int)
    row, column = np.unravel_index(np.nanargmax(result.weights), result.weights.shape)
    darkest = pixels[22 + 150 + column * 26 + 13, 84 + row * 64 + 32]
    assert np.abs(darkest - [0x0B, 0x2C, 0x5F]).max() <= 1


def test_attention_refuses_what_it_cannot_draw(model, extractor, clips, tmp_path):
    with pytest.raises(RenderingError, match="`method` is 'mean'"):
        attention_map(model, extractor, clips[0], method="mean")
    with pytest.raises(RenderingError, match="3 motions were given"):
        attention_map(model, extractor, list(clips))
    with pytest.raises(RenderingError, match="one person and patches"):
        attention_map(model, MotionPatchFeatureExtractor(input_kind="frames", normalization="none"), clips[0])
