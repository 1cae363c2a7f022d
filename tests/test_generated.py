"""Generated motion: what the captions say is checked on the joints, by rules that know nothing of how they were made."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from modeling_motionpatch.data import generated, load_motion_dataset
from modeling_motionpatch.data.generated import (
    ACTION_KINDS,
    ACTIONS,
    GENERATED_SKELETONS,
    Body,
    Plan,
    Proportions,
    Style,
    build_generated,
    generate_motion,
    generate_motions,
    generated_skeleton,
)
from modeling_motionpatch.data.generated.captions import captions, conjugate, ing, past, third
from modeling_motionpatch.data.generated.tracks import through
from modeling_motionpatch.skeletons_motionpatch import SkeletonError, get_skeleton, lateral_axis


PLAIN = {"style": Style(), "proportions": Proportions(), "place": False}
FPS = 20.0


def make(kind, rng=0, skeleton="smpl22", **rest):
    return generate_motion(kind, skeleton, rng, **{**PLAIN, **rest})


def joint(clip, name):
    return clip.joints[:, clip.skeleton.joints.index(name)].astype(float)


def way(positions):
    """Length of a path in metres."""
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=-1).sum())


def heading(clip):
    """Radians from +Z towards +X the hips and shoulders face, unwrapped."""
    axis = lateral_axis(clip.joints.astype(float), clip.skeleton)
    return np.unwrap(np.arctan2(-axis[:, 2], axis[:, 0]))


def peaks(curve, depth):
    """How often a curve rises by more than `depth` and falls by as much again."""
    count, low, high, rising = 0, curve[0], curve[0], False
    for value in curve:
        if not rising:
            low = min(low, value)
            if value > low + depth:
                rising, high = True, value
        else:
            high = max(high, value)
            if value < high - depth:
                count, rising, low = count + 1, False, value
    return count + rising * (high - low > depth and curve[-1] < high - 0.5 * depth)


def relative(clip, name):
    """A joint relative to the pelvis, turned to the heading: x to the left, z forwards."""
    local = joint(clip, name) - clip.joints[:, clip.skeleton.pelvis].astype(float)
    angle = heading(clip)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([local[:, 0] * cos - local[:, 2] * sin, local[:, 1], local[:, 0] * sin + local[:, 2] * cos], -1)


# --------------------------------------------------------------------------------------------------------------------
# Every kind


def test_there_are_enough_kinds_and_skeletons():
    assert len(ACTION_KINDS) >= 30
    assert {"smpl22", "kit21", "mixamo"} <= set(GENERATED_SKELETONS)
    assert len({generated_skeleton(name).joints for name in GENERATED_SKELETONS}) == len(GENERATED_SKELETONS)


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_every_kind_is_a_possible_human_motion(kind):
    for seed in range(2):
        skeleton = GENERATED_SKELETONS[(ACTION_KINDS.index(kind) + seed) % len(GENERATED_SKELETONS)]
        clip = generate_motion(kind, skeleton, seed)
        assert clip.joints.dtype == np.float32 and clip.joints.shape[1:] == (clip.skeleton.num_joints, 3)
        assert np.isfinite(clip.joints).all()
        assert 1.0 <= clip.duration <= 12.0
        joints, parents = clip.joints.astype(float), np.array(clip.skeleton.parents)
        bones = np.linalg.norm(joints[:, parents >= 0] - joints[:, parents[parents >= 0]], axis=-1)
        assert np.ptp(bones, axis=0).max() < 1e-4
        assert joints[:, :, 1].min() > -0.005
        if kind != "stairs":
            assert joints[:, :, 1].min(axis=1)[[0, -1]].max() < (0.1 if kind not in ("climb_ladder",) else 3.0)
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * clip.fps
        assert speed.max() < 16.0  # m/s: a sprinter's foot
        assert clip.label == kind and clip.captions and clip.actions[0]["kind"] == kind


@pytest.mark.parametrize("skeleton", GENERATED_SKELETONS)
def test_bodies_have_human_proportions(skeleton):
    clip = make({"kind": "look", "dir": "left"}, skeleton=skeleton)
    chains, first = clip.skeleton.chains, clip.joints[0].astype(float)
    assert 1.3 < first[:, 1].max() < 1.9
    for limb, low, high in (("arm", 0.4, 0.65), ("leg", 0.65, 1.0)):
        left, right = (
            first[list(chains[f"{side}_{limb}"][-3:] if limb == "arm" else chains[f"{side}_leg"][1:4])]
            for side in ("left", "right")
        )
        lengths = [np.linalg.norm(np.diff(part, axis=0), axis=-1).sum() for part in (left, right)]
        assert abs(lengths[0] - lengths[1]) < 1e-5
        assert low < lengths[0] < high
    assert first[chains["left_leg"][-1], 0] > 0 > first[chains["right_leg"][-1], 0]  # facing +Z, left is +X
    assert first[chains["left_leg"][-1], 2] > first[chains["left_leg"][-2], 2]  # toes in front of ankles


def test_people_differ_in_size():
    rng = np.random.default_rng(0)
    heights = [Body("smpl22", Proportions.draw(rng)).rest[:, 1].max() for _ in range(40)]
    assert max(heights) - min(heights) > 0.15 and 1.2 < min(heights) and max(heights) < 1.9


@pytest.mark.parametrize(
    "kind", ["walk", "run", "walk_backwards", "sidestep", "march", "limp", "walk_circle", "stairs", "sneak"]
)
def test_standing_feet_do_not_slide(kind):
    clip = make(kind, rng=3, style=None)
    for side in ("left", "right"):
        ball = joint(clip, f"{side}_foot")
        ground = ball[:, 1].min() if kind != "stairs" else None
        still = np.linalg.norm(np.diff(ball, axis=0), axis=-1) * FPS
        low = still < 0.02 if ground is None else np.maximum(ball[1:, 1], ball[:-1, 1]) < ground + 0.004
        across = np.linalg.norm(np.diff(ball[:, [0, 2]], axis=0), axis=-1) * FPS
        assert low.sum() > 3
        assert np.percentile(across[low], 80) < 0.1  # m/s


@pytest.mark.parametrize(
    "kind", ["walk", "run", "squat", "kick", "jump", "sit_down", "stairs", "lunge", "climb_ladder"]
)
def test_knees_bend_forwards_and_elbows_backwards(kind):
    clip = make(kind, rng=1)
    angle = heading(clip)
    ahead = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1)
    for side in ("left", "right"):
        hip, knee, ankle = (joint(clip, f"{side}_{name}") for name in ("hip", "knee", "ankle"))
        line = ankle - hip
        foot = hip + line * ((knee - hip) * line).sum(-1, keepdims=True) / (line**2).sum(-1, keepdims=True)
        assert (((knee - foot) * ahead).sum(-1) > -0.06).all() or kind == "kick"
        bent = np.linalg.norm(knee - foot, axis=-1)
        up = np.einsum("ti,ti->t", knee - foot, ahead) + np.maximum((knee - foot)[:, 1], 0)
        assert (up[bent > 0.05] > 0).all()


# --------------------------------------------------------------------------------------------------------------------
# The captions are true


@pytest.mark.parametrize("side,other", [("left", "right"), ("right", "left")])
@pytest.mark.parametrize(
    "kind", ["wave", "raise_arm", "phone", "throw", "point", "drink", "knock", "scratch_head", "dribble"]
)
def test_the_named_hand_moves(kind, side, other):
    clip = make({"kind": kind, "side": side})
    assert way(relative(clip, f"{side}_wrist")) > 2.5 * way(relative(clip, f"{other}_wrist"))
    assert re.search(rf"\b{side}\b", clip.captions[0]) and other not in clip.captions[0]


@pytest.mark.parametrize("side,other", [("left", "right"), ("right", "left")])
@pytest.mark.parametrize("kind", ["kick", "knee_raise", "stomp", "lunge"])
def test_the_named_leg_moves(kind, side, other):
    clip = make({"kind": kind, "side": side})
    assert way(joint(clip, f"{side}_ankle")) > 2.5 * way(joint(clip, f"{other}_ankle"))
    assert np.ptp(joint(clip, f"{side}_ankle")[:, 1]) > np.ptp(joint(clip, f"{other}_ankle")[:, 1])


@pytest.mark.parametrize("side,sign", [("left", 1), ("right", -1)])
def test_standing_leg_is_the_named_one(side, sign):
    other = "right" if side == "left" else "left"
    for kind in ("balance", "hop"):
        clip = make({"kind": kind, "side": side})
        middle = slice(len(clip.joints) // 3, 2 * len(clip.joints) // 3)
        assert (joint(clip, f"{other}_ankle")[middle, 1] > joint(clip, f"{side}_ankle")[middle, 1] + 0.15).all()


@pytest.mark.parametrize(
    "spec,direction",
    [
        ({"kind": "walk"}, (0, 1)), ({"kind": "run"}, (0, 1)), ({"kind": "walk_backwards"}, (0, -1)),
        ({"kind": "sidestep", "side": "left"}, (1, 0)), ({"kind": "sidestep", "side": "right"}, (-1, 0)),
        ({"kind": "steps", "dir": "left"}, (1, 0)), ({"kind": "steps", "dir": "backward"}, (0, -1)),
        ({"kind": "jump", "dir": "forward"}, (0, 1)), ({"kind": "jump", "dir": "right"}, (-1, 0)),
        ({"kind": "crawl", "dir": "forward"}, (0, 1)), ({"kind": "crawl", "dir": "backward"}, (0, -1)),
    ],
)  # fmt: skip
def test_the_way_goes_where_the_caption_says(spec, direction):
    clip = make(spec)
    pelvis = joint(clip, "pelvis")[:, [0, 2]]
    moved = pelvis[-1] - pelvis[0]
    assert np.linalg.norm(moved) > 0.2
    assert moved @ np.array(direction) > 0.95 * np.linalg.norm(moved)


def test_placing_turns_way_and_facing_together():
    clip = generate_motion({"kind": "walk", "length": "long"}, rng=5, style=Style())
    moved = joint(clip, "pelvis")[-1] - joint(clip, "pelvis")[0]
    angle = heading(clip)[0]
    assert moved @ np.array([np.sin(angle), 0, np.cos(angle)]) > 0.98 * np.linalg.norm(moved[[0, 2]])
    assert abs(angle) > 0.05


@pytest.mark.parametrize("angle,degrees", [("", 90), ("half", 180), ("full", 360), ("small", 45)])
@pytest.mark.parametrize("side,sign", [("left", 1), ("right", -1)])
def test_turns_go_to_the_named_side(angle, degrees, side, sign):
    for kind in ["turn"] + (["walk_circle", "run_circle"] if degrees == 360 else []):
        spec = {"kind": kind, "side": side} | ({"angle": angle} if kind == "turn" else {})
        clip = make(spec)
        turned = np.degrees(heading(clip)[-1] - heading(clip)[0])
        assert abs(turned - sign * degrees) < 25
        assert all(other not in clip.captions[0].split() for other in ({"left", "right"} - {side}))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_counts_are_the_numbers_of_repetitions(count):
    clip = make({"kind": "raise_arm", "side": "left", "dir": "up", "count": count})
    assert peaks(joint(clip, "left_wrist")[:, 1], 0.6) == count
    clip = make({"kind": "squat", "count": count, "size": "large"})
    assert peaks(-joint(clip, "pelvis")[:, 1], 0.25) == count
    clip = make({"kind": "bow", "count": count, "size": ""})
    assert peaks(-joint(clip, "head")[:, 1], 0.12) == count
    clip = make({"kind": "jump", "count": count, "size": "large", "dir": "up"})
    assert peaks(np.minimum(joint(clip, "left_ankle"), joint(clip, "right_ankle"))[:, 1], 0.2) == count
    clip = make({"kind": "kick", "count": count, "side": "right", "dir": "forward", "size": "large"})
    assert peaks(joint(clip, "right_ankle")[:, 1], 0.5) == count
    clip = make({"kind": "punch", "count": count, "side": "right", "dir": "forward"})
    reach = np.linalg.norm(joint(clip, "right_wrist") - joint(clip, "right_shoulder"), axis=-1)
    guarded = slice(int(0.4 * FPS), -int(0.5 * FPS))
    assert peaks(np.concatenate([[0.2], reach[guarded], [0.2]]), 0.2) == count
    assert (
        not re.search(r"twice|times", clip.captions[0]) if count == 1 else re.search(r"twice|times", clip.captions[0])
    )


@pytest.mark.parametrize("count", [2, 3, 5])
def test_claps_and_jacks_are_counted(count):
    clip = make({"kind": "clap", "count": count, "size": "", "speed": "slow"})
    apart = np.linalg.norm(joint(clip, "left_wrist") - joint(clip, "right_wrist"), axis=-1)
    assert peaks(-apart[6:-6], 0.15) == count and apart.min() < 0.12
    clip = make({"kind": "jumping_jacks", "count": count, "speed": "slow"})
    assert peaks(joint(clip, "left_ankle")[:, 0] - joint(clip, "right_ankle")[:, 0], 0.3) == count


@pytest.mark.parametrize("count", [1, 2, 4])
def test_steps_are_counted(count):
    clip = make({"kind": "steps", "dir": "forward", "count": count})
    landings = sum(peaks(joint(clip, f"{side}_ankle")[:, 1], 0.05) for side in ("left", "right"))
    assert landings == count + 1  # the last one closes up


def test_speed_words_order_the_speeds():
    def speed(word):
        clip = make({"kind": "walk", "speed": word, "length": "long"}, rng=2)
        pelvis = joint(clip, "pelvis")
        middle = slice(len(pelvis) // 3, 2 * len(pelvis) // 3)
        return way(pelvis[middle][:, [0, 2]]) / (len(pelvis[middle]) - 1) * FPS

    slow, plain, fast = speed("slow"), speed(""), speed("fast")
    assert 0.4 < 1.3 * slow < plain < fast / 1.2 < 2.5
    times = [
        make({"kind": "raise_arm", "side": "left", "dir": "up", "count": 2, "speed": word}).duration
        for word in ("fast", "", "slow")
    ]
    assert times == sorted(times) and times[2] > 1.5 * times[0]


def test_size_words_order_the_sizes():
    def highest(spec, name):
        return joint(make(spec), name)[:, 1].max()

    for kind, name, extra in (
        ("jump", "pelvis", {"dir": "up", "count": 1}),
        ("kick", "left_ankle", {"side": "left", "dir": "forward", "count": 1}),
    ):
        small, plain, large = (highest({"kind": kind, "size": size, **extra}, name) for size in ("small", "", "large"))
        assert small + 0.05 < plain < large - 0.05
    heads = [
        joint(make({"kind": "bow", "size": size, "count": 1}), "head")[:, 1].min() for size in ("small", "", "large")
    ]
    assert heads[0] - 0.1 > heads[1] > heads[2] + 0.1


def test_stairs_and_ladders_go_up_and_down():
    for kind in ("stairs", "climb_ladder"):
        up, down = (joint(make({"kind": kind, "dir": way}), "pelvis")[:, 1] for way in ("up", "down"))
        assert up[-1] - up[0] > 0.6 and down[0] - down[-1] > 0.6


def test_postures():
    sit = make("sit_down")
    assert joint(sit, "pelvis")[-1, 1] < 0.65 * joint(sit, "pelvis")[0, 1]
    rise = make("stand_up")
    assert joint(rise, "pelvis")[0, 1] < 0.65 * joint(rise, "pelvis")[-1, 1]
    assert make("lie_down").joints[-1, :, 1].max() < 0.35
    assert make("get_up").joints[-1, :, 1].max() > 1.3
    for side in ("left", "right"):
        clip = make({"kind": "kneel", "side": side})
        other = "right" if side == "left" else "left"
        assert joint(clip, f"{side}_knee")[-1, 1] < 0.15 < joint(clip, f"{other}_knee")[-1, 1] - 0.15


def test_sequence_keeps_its_order():
    clip = make([{"kind": "walk", "speed": ""}, {"kind": "wave", "side": "left", "size": "large"}])
    pelvis, wrist = joint(clip, "pelvis"), relative(clip, "left_wrist")[:, 1]
    walked = np.cumsum(np.linalg.norm(np.diff(pelvis[:, [0, 2]], axis=0), axis=-1))
    half_way = int(np.searchsorted(walked, 0.5 * walked[-1]))
    assert half_way < int(np.argmax(wrist > 0.5))
    assert clip.label == "walk then wave" and [part["kind"] for part in clip.actions] == ["walk", "wave"]


def test_while_is_at_the_same_time():
    clip = make(
        [{"kind": "walk", "speed": "slow", "length": "long"}, {"kind": "wave", "side": "right", "size": "large"}],
        joined="while",
    )
    high = relative(clip, "right_wrist")[:, 1] > 0.6
    assert high.sum() > 10
    assert way(joint(clip, "pelvis")[high][:, [0, 2]]) > 0.5
    assert np.ptp(relative(clip, "left_wrist")[:, 1]) < 0.4
    assert "while" in clip.captions[0] or "at the same time" in clip.captions[0]


@pytest.mark.parametrize(
    "kind",
    [
        "wave",
        "kick",
        "throw",
        "sidestep",
        "lunge",
        "kneel",
        "swing_club",
        "turn",
        "lean",
        "balance",
        "hop",
        "pick_up",
        "walk_circle",
    ],
)
def test_left_and_right_are_mirror_images(kind):
    options = ACTIONS[kind].options
    fixed = {name: values[-1] for name, values in options.items() if name != "side"}
    left, right = (make({"kind": kind, "side": side, **fixed}, rng=4) for side in ("left", "right"))
    mirrored = right.joints[:, list(right.skeleton.mirror)] * np.array([-1, 1, 1], np.float32)
    assert left.joints.shape == mirrored.shape
    assert np.abs(left.joints - mirrored).max() < 1e-4


# --------------------------------------------------------------------------------------------------------------------
# Wording


def test_first_captions_tell_all_and_no_caption_tells_another_side():
    rng = np.random.default_rng(0)
    numbers = {2: "twice|two", 3: "three", 4: "four", 5: "five", 6: "six"}
    for kind, action in ACTIONS.items():
        for _ in range(6):
            choices = action.draw(rng)
            texts = captions([(action, choices)], "then", rng)
            for text in texts:
                assert not re.search(r"[<>{}]|  |their their|the the|\bboth both\b", text), text
                if choices.get("side") in ("left", "right") and kind != "balance":
                    other = {"left": "right", "right": "left"}[choices.side]
                    assert not re.search(rf"\b{other}\b", text), (kind, text)
            side = choices.get("side")
            if side in ("left", "right"):
                clock = "clockwise" if side == "right" else "counter ?clockwise|anticlockwise"
                assert re.search(rf"\b({side}|{clock})\b", texts[0]), (kind, texts[0])
            if choices.get("count") in numbers and kind not in ("jump",):
                assert re.search(numbers[choices["count"]], texts[0]), (kind, texts[0])
            if choices.get("speed") == "slow":
                assert "slow" in texts[0], (kind, texts[0])


def test_captions_are_mostly_unique_but_related():
    rng = np.random.default_rng(1)
    firsts, words = [], set()
    for _ in range(400):
        plan = Plan.draw(rng)
        first = captions(plan.parts, plan.joined, rng)[0]
        firsts.append(first)
        words |= set(first.split())
    assert len(set(firsts)) > 0.9 * len(firsts)
    assert 150 < len(words) < 1200


def test_every_verb_of_one_syllable_doubles_where_it_must():
    sources = Path(generated.__file__).parent.glob("*.py")
    verbs = {verb for file in sources for verb in re.findall(r"<([a-z]+)>", file.read_text(encoding="utf-8"))}
    short = {verb for verb in verbs if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", verb)}
    assert len(verbs) > 100 and {"rub", "clap", "strum"} <= short
    assert [verb for verb in sorted(short) if ing(verb) != verb + verb[-1] + "ing"] == []
    assert ing("tiptoe") == "tiptoeing" and past("sidestep") == "sidestepped"


def test_conjugation():
    verbs = ("wave", "run", "push", "carry", "lie", "take", "stir", "do", "hop")
    assert [third(v) for v in verbs] == "waves runs pushes carries lies takes stirs does hops".split()
    assert [ing(v) for v in verbs] == "waving running pushing carrying lying taking stirring doing hopping".split()
    assert [past(v) for v in verbs] == "waved ran pushed carried lay took stirred did hopped".split()
    assert conjugate("<sit> down and <wave>", "past") == "sat down and waved"


def test_every_wording_has_its_choices():
    for kind, action in ACTIONS.items():
        for _ in range(5):
            choices = action.draw(np.random.default_rng(0))
            sayings = action.phrases(choices)
            assert len(sayings) >= 3, kind
            assert len(set(sayings)) == len(sayings), kind


# --------------------------------------------------------------------------------------------------------------------
# Determinism, data sets, bad input


def test_clip_depends_on_seed_split_and_index_alone():
    together = generate_motions(4, ["smpl22", "kit21"], seed=3)
    alone = generate_motions(1, ["smpl22", "kit21"], seed=3, start=2)[0]
    assert np.array_equal(together[2].joints, alone.joints)
    assert together[2].captions == alone.captions and together[2].id == alone.id
    for other in (generate_motions(1, seed=4)[0], generate_motions(1, seed=3, split="test")[0]):
        assert other.captions != together[0].captions or other.joints.shape != together[0].joints.shape


def test_variation_of_one_caption():
    clips = [generate_motion({"kind": "wave", "side": "left", "speed": "", "size": ""}, rng=seed) for seed in range(6)]
    assert len({len(clip.joints) for clip in clips}) > 2
    assert len({clip.captions[0] for clip in clips}) > 2


def test_fps_changes_the_frames_not_the_time():
    slow, fast = (make({"kind": "bow", "size": "", "count": 1}, fps=fps) for fps in (20.0, 60.0))
    assert abs(slow.duration - fast.duration) < 0.2 and len(fast.joints) > 2.7 * len(slow.joints)
    assert abs(joint(slow, "head")[:, 1].min() - joint(fast, "head")[:, 1].min()) < 0.02


def test_dataset_of_several_skeletons(tmp_path):
    splits = build_generated(tmp_path, num_train=4, num_validation=2, num_test=0, seed=1)
    assert set(splits) == {"train", "validation"} and splits["train"].num_rows == 4
    direct = generate_motions(4, ("smpl22", "kit21", "mixamo"), seed=1)
    for row, clip in zip(splits["train"], direct):
        assert row["id"] == clip.id and row["captions"] == clip.captions and row["label"] == clip.label
        assert get_skeleton(row["skeleton"]) == clip.skeleton and row["fps"] == 20.0
        assert np.array_equal(np.asarray(row["motion"], np.float32), clip.joints)
        assert json.loads(row["actions"])[0]["kind"] == clip.actions[0]["kind"]


def test_dataset_of_one_skeleton_is_array3d(tmp_path):
    import datasets

    splits = build_generated(tmp_path, skeletons="kit21", num_train=2, num_validation=0, num_test=1)
    feature = splits["train"].features["motion"]
    assert isinstance(feature, datasets.Array3D) and feature.dtype == "float32" and feature.shape == (None, 21, 3)
    motion = splits["test"].with_format("numpy")[0]["motion"]
    assert motion.dtype == np.float32 and motion.shape[1:] == (21, 3)


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda: generate_motion("moonwalk"), ValueError, "moonwalk"),
        (lambda: generate_motion({"kind": "wave", "side": "up"}), ValueError, "side"),
        (lambda: generate_motion({"kind": "wave", "colour": "red"}), ValueError, "colour"),
        (lambda: generate_motion({"side": "left"}), ValueError, "kind"),
        (lambda: generate_motion(["walk", "walk", "walk"]), ValueError, "3"),
        (lambda: generate_motion(["walk", "stand_up"]), ValueError, "sitting"),
        (lambda: generate_motion(["jump", "wave"], joined="while"), ValueError, "while"),
        (lambda: generate_motion("walk", "octopus"), SkeletonError, "octopus"),
        (lambda: generate_motion("walk", fps=0), ValueError, "fps"),
        (lambda: generate_motions(1, split="holdout"), ValueError, "holdout"),
        (lambda: generate_motions(1, []), ValueError, "skeleton"),
        (lambda: build_generated(num_train=-1), ValueError, "negative"),
        (lambda: build_generated(num_train=0, num_validation=0, num_test=0), ValueError, "0"),
        (lambda: build_generated(skeletons="octopus"), SkeletonError, "octopus"),
    ],
)
def test_bad_input_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_curve_through_keys_does_not_overshoot():
    t = np.linspace(0, 3, 50)
    curve = through([0, 1, 2, 3], [[0.0], [1.0], [1.0], [0.2]], t)[:, 0]
    assert curve.min() >= 0 and curve.max() <= 1 + 1e-12
    assert np.allclose(
        through([0, 1, 2, 3], [[0.0], [1.0], [1.0], [0.2]], np.array([0.0, 1, 2, 3]))[:, 0], [0, 1, 1, 0.2]
    )


def test_public_names():
    assert all(hasattr(generated, name) for name in generated.__all__)


def test_more_processes_generate_the_same_rows(tmp_path):
    counts = {"num_train": 120, "num_validation": 3, "num_test": 2}
    one, two = (
        load_motion_dataset("generated", cache_dir=tmp_path / str(processes), num_proc=processes, **counts)
        for processes in (1, 2)
    )
    for split in one:
        assert one[split]["id"] == two[split]["id"] and one[split]["captions"] == two[split]["captions"]
        for mine, theirs in zip(one[split]["motion"], two[split]["motion"]):
            np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="`num_proc` is 0"):
        load_motion_dataset("generated", cache_dir=tmp_path / "none", num_proc=0, **counts)
