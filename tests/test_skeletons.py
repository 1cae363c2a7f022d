"""Skeletons: registered chains against the official ones, and chains found for hierarchies of many vendors."""

import itertools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED, needs_shared

from modeling_motionpatch import BODY_PARTS, Skeleton, SkeletonError, get_skeleton, known_skeletons
from modeling_motionpatch.skeleton_names_motionpatch import parse_joint
from modeling_motionpatch.skeletons_motionpatch import lateral_axis


OFFICIAL = {  # FACTS of the official code: right leg, left leg, torso, right arm, left arm
    "smpl22": [
        [0, 2, 5, 8, 11], [0, 1, 4, 7, 10], [0, 3, 6, 9, 12, 15], [9, 14, 17, 19, 21], [9, 13, 16, 18, 20],
    ],
    "kit21": [
        [0, 11, 12, 13, 14, 15], [0, 16, 17, 18, 19, 20], [0, 1, 2, 3, 4], [3, 5, 6, 7], [3, 8, 9, 10],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", OFFICIAL)
def test_chains_of_the_official_code(name):
    parts = ("right_leg", "left_leg", "torso", "right_arm", "left_arm")
    assert [list(get_skeleton(name).chains[part]) for part in parts] == OFFICIAL[name]


@pytest.mark.parametrize("name", known_skeletons())
def test_registered_skeletons_are_whole(name):
    skeleton = get_skeleton(name)
    for part in BODY_PARTS:
        chain = skeleton.chains[part]
        assert len(chain) >= 3, part
        for index in chain:
            joint = skeleton.joints[index].lower()
            if part.startswith("left"):
                assert "right" not in joint and not joint.startswith("r") or joint.startswith("root")
            if part.startswith("right"):
                assert "left" not in joint and not joint.startswith("l")
    assert get_skeleton(skeleton.to_string()) == skeleton
    assert all(skeleton.mirror[skeleton.mirror[index]] == index for index in range(skeleton.num_joints))
    for limb in ("arm", "leg"):
        left, right = skeleton.chains[f"left_{limb}"], skeleton.chains[f"right_{limb}"]
        assert tuple(skeleton.mirror[index] for index in left) == right


def tree(text: str) -> tuple[list[str], list[int]]:
    """Indented names -> joints and parents."""
    joints, parents, stack = [], [], []
    for line in text.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 1
        while stack and stack[-1][0] >= depth:
            stack.pop()
        parents.append(stack[-1][1] if stack else -1)
        stack.append((depth, len(joints)))
        joints.append(line.strip())
    return joints, parents


def chain(prefix_depth: int, *names: str) -> str:
    return "\n".join(" " * (prefix_depth + i) + name for i, name in enumerate(names))


def body(pelvis, spine, neck, arm, leg, extra=()):
    """A hierarchy text: pelvis > legs; pelvis > spine... > neck...; last spine > arms. `{s}` stands for the side."""

    def build(left, right):
        lines = [pelvis]
        for side in (left, right):
            lines.append(chain(1, *(name.format(s=side) for name in leg)))
        lines.append(chain(1, *spine))
        lines.append(chain(1 + len(spine), *neck))
        for side in (left, right):
            lines.append(chain(1 + len(spine), *(name.format(s=side) for name in arm)))
        return "\n".join(lines)

    return build


VENDORS = {
    "mixamo": (
        body("mixamorig:Hips", ["mixamorig:Spine", "mixamorig:Spine1", "mixamorig:Spine2"],
             ["mixamorig:Neck", "mixamorig:Head", "mixamorig:HeadTop_End"],
             ["mixamorig:{s}Shoulder", "mixamorig:{s}Arm", "mixamorig:{s}ForeArm", "mixamorig:{s}Hand",
              "mixamorig:{s}HandIndex1", "mixamorig:{s}HandIndex2"],
             ["mixamorig:{s}UpLeg", "mixamorig:{s}Leg", "mixamorig:{s}Foot", "mixamorig:{s}ToeBase",
              "mixamorig:{s}Toe_End"]), "Left", "Right", 5, 5, 6),
    "cmu": (
        body("Hips", ["LowerBack", "Spine", "Spine1"], ["Neck", "Neck1", "Head"],
             ["{s}Shoulder", "{s}Arm", "{s}ForeArm", "{s}Hand", "{s}FingerBase", "{s}HandIndex1"],
             ["{S}HipJoint", "{s}UpLeg", "{s}Leg", "{s}Foot", "{s}ToeBase"]), "Left", "Right", 5, 6, 7),
    "unreal": (
        body("pelvis", ["spine_01", "spine_02", "spine_03"], ["neck_01", "head"],
             ["clavicle_{s}", "upperarm_{s}", "lowerarm_{s}", "hand_{s}", "index_01_{s}"],
             ["thigh_{s}", "calf_{s}", "foot_{s}", "ball_{s}"]), "l", "r", 5, 5, 6),
    "xsens": (
        body("Pelvis", ["L5", "L3", "T12", "T8"], ["Neck", "Head"],
             ["{s}Shoulder", "{s}UpperArm", "{s}ForeArm", "{s}Hand"],
             ["{s}UpperLeg", "{s}LowerLeg", "{s}Foot", "{s}Toe"]), "Left", "Right", 5, 5, 7),
    "xsens_bvh": (
        body("Hips", ["Chest", "Chest2", "Chest3", "Chest4"], ["Neck", "Head"],
             ["{s}Collar", "{s}Shoulder", "{s}Elbow", "{s}Wrist"], ["{s}Hip", "{s}Knee", "{s}Ankle", "{s}Toe"]),
        "Left", "Right", 5, 5, 7),
    "rokoko": (
        body("Hips", ["Spine1", "Spine2", "Spine3", "Spine4"], ["Neck", "Head"],
             ["{s}Shoulder", "{s}Arm", "{s}ForeArm", "{s}Hand", "{s}DigitOneMetacarpal"],
             ["{s}Thigh", "{s}Shin", "{s}Foot", "{s}Toe", "{s}ToeTip"]), "Left", "Right", 5, 5, 7),
    "biped": (
        body("Bip01 Pelvis", ["Bip01 Spine", "Bip01 Spine1"], ["Bip01 Neck", "Bip01 Head", "Bip01 HeadNub"],
             ["Bip01 {s} Clavicle", "Bip01 {s} UpperArm", "Bip01 {s} Forearm", "Bip01 {s} Hand", "Bip01 {s} Finger0"],
             ["Bip01 {s} Thigh", "Bip01 {s} Calf", "Bip01 {s} Foot", "Bip01 {s} Toe0", "Bip01 {s} Toe0Nub"]),
        "L", "R", 5, 5, 5),
    "blender": (
        body("hips", ["spine", "chest"], ["neck", "head"],
             ["shoulder.{s}", "upper_arm.{s}", "forearm.{s}", "hand.{s}", "thumb.01.{s}"],
             ["thigh.{s}", "shin.{s}", "foot.{s}", "toe.{s}"]), "L", "R", 5, 5, 5),
    "daz_genesis": (
        body("hip", ["abdomenLower", "chestLower", "chestUpper"], ["neckLower", "head"],
             ["{s}Collar", "{s}ShldrBend", "{s}ShldrTwist", "{s}ForearmBend", "{s}ForearmTwist", "{s}Hand", "{s}Thumb1"],
             ["{s}ThighBend", "{s}ThighTwist", "{s}Shin", "{s}Foot", "{s}Metatarsals", "{s}Toe", "{s}BigToe"]),
        "l", "r", 5, 6, 6),
    "vrm": (
        body("J_Bip_C_Hips", ["J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_UpperChest"], ["J_Bip_C_Neck", "J_Bip_C_Head"],
             ["J_Bip_{s}_Shoulder", "J_Bip_{s}_UpperArm", "J_Bip_{s}_LowerArm", "J_Bip_{s}_Hand", "J_Bip_{s}_Index1"],
             ["J_Bip_{s}_UpperLeg", "J_Bip_{s}_LowerLeg", "J_Bip_{s}_Foot", "J_Bip_{s}_ToeBase"]), "L", "R", 5, 5, 6),
    "smplx_names": (
        body("pelvis", ["spine1", "spine2", "spine3"], ["neck", "head", "jaw"],
             ["{s}_collar", "{s}_shoulder", "{s}_elbow", "{s}_wrist", "{s}_index1"],
             ["{s}_hip", "{s}_knee", "{s}_ankle", "{s}_foot"]), "left", "right", 5, 5, 6),
    "asf": (
        body("root", ["lowerback", "upperback", "thorax"], ["lowerneck", "upperneck", "head"],
             ["{s}clavicle", "{s}humerus", "{s}radius", "{s}wrist", "{s}hand", "{s}fingers"],
             ["{s}hipjoint", "{s}femur", "{s}tibia", "{s}foot", "{s}toes"]), "l", "r", 6, 6, 7),
}  # fmt: skip


def vendor_tree(name: str, swap: bool = False):
    build, left, right, *sizes = VENDORS[name]
    text = build(*((right, left) if swap else (left, right)))
    for side in (left, right):
        text = text.replace("{S}", side[0])
    return (*tree(text), left, right, sizes)


def is_side(joint: str, side: str) -> bool:
    bare = joint.split(":")[-1].replace("Bip01 ", "").replace("J_Bip_", "")
    return bare.startswith(side) or bare.endswith((f"_{side}", f".{side}")) or bare.startswith(side[0].upper() + "Hip")


@pytest.mark.parametrize("name,swap", list(itertools.product([n for n in VENDORS if n != "cmu"], (False, True))))
def test_chains_of_vendors(name, swap):
    joints, parents, left, right, (arm, leg, torso) = vendor_tree(name, swap)
    skeleton = Skeleton.from_hierarchy(joints, parents, name=name)
    names = {part: [skeleton.joints[index] for index in chain] for part, chain in skeleton.chains.items()}
    for side, letters in (("left", left), ("right", right)):
        for limb, size in (("arm", arm), ("leg", leg)):
            part = names[f"{side}_{limb}"]
            assert len(part) == size, part
            assert all(is_side(joint, letters) for joint in part[1:]), part
    assert len(names["torso"]) == torso, names["torso"]
    assert names["torso"][0] == joints[0] and "ead" in names["torso"][-1]
    for chain_ in skeleton.chains.values():  # from the torso outwards: each joint is an ancestor of the next
        for above, below in zip(chain_, chain_[1:]):
            while below not in (-1, above):
                below = parents[below]
            assert below == above


def test_order_of_joints_does_not_matter():
    joints, parents, *_ = vendor_tree("mixamo")
    expected = Skeleton.from_hierarchy(joints, parents)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(joints))
    place = {old: new for new, old in enumerate(order)}
    shuffled = Skeleton.from_hierarchy([joints[old] for old in order], [place.get(parents[old], -1) for old in order])
    for part in BODY_PARTS:
        assert [shuffled.joints[i] for i in shuffled.chains[part]] == [
            expected.joints[i] for i in expected.chains[part]
        ]


def test_helpers_and_props_are_left_out():
    joints, parents, *_ = vendor_tree("unreal")
    extra = ["root", "ik_foot_root", "ik_foot_l", "ik_hand_gun", "thigh_twist_01_l", "weapon_r", "hair_01", "LeftEye"]
    at = {"ik_foot_l": "ik_foot_root", "thigh_twist_01_l": "thigh_l", "weapon_r": "hand_r", "hair_01": "head"}
    joints, parents = ["root", *joints], [-1, *(parent + 1 for parent in parents)]
    for name in extra[1:]:
        parents.append(joints.index(at.get(name, "root" if name.startswith("ik") else "head")))
        joints.append(name)
    skeleton = Skeleton.from_hierarchy(joints, parents)
    assert [joints[i] for i in skeleton.chains["left_leg"]] == ["pelvis", "thigh_l", "calf_l", "foot_l", "ball_l"]
    assert set(extra) <= set(skeleton.unplaced)


def nested(text: str, sides=("Left", "Right")) -> tuple[list[str], list[int]]:
    """`"a > b > c; b > d"` -> joints and parents; a branch with `{s}` is written once for each side."""
    joints, parents = [], []
    for branch in text.split(";"):
        for side in sides if "{s}" in branch else ("",):
            above = -1
            for name in branch.format(s=side).split(">"):
                name = name.strip()
                if name not in joints:
                    joints.append(name)
                    parents.append(above)
                above = joints.index(name)
    return joints, parents


ODD = {  # tree, sides, torso, arm, leg
    "vertebrae of Xsens": (
        "jPelvis > jL5S1 > jL4L3 > jL1T12 > jT9T8 > jT1C7 > jC1Head; jT9T8 > j{s}T4Shoulder > j{s}Shoulder > j{s}Elbow > "
        "j{s}Wrist; jPelvis > j{s}Hip > j{s}Knee > j{s}Ankle > j{s}BallFoot", ("Right", "Left"),
        "jPelvis jL5S1 jL4L3 jL1T12 jT9T8 jT1C7 jC1Head", "jT9T8 j{s}T4Shoulder j{s}Shoulder j{s}Elbow j{s}Wrist",
        "jPelvis j{s}Hip j{s}Knee j{s}Ankle j{s}BallFoot"),
    "rooted at the chest, a lower waist": (
        "torso > head; torso > {s}_upper_arm > {s}_lower_arm > {s}_hand; torso > lwaist > pelvis > {s}_thigh > {s}_shin > "
        "{s}_foot", ("left", "right"), "pelvis lwaist torso head",
        "torso {s}_upper_arm {s}_lower_arm {s}_hand", "pelvis {s}_thigh {s}_shin {s}_foot"),
    "rooted at the nose": (
        "nose > neck > pelvis > {s}_hip > {s}_knee > {s}_ankle; neck > {s}_shoulder > {s}_elbow > {s}_wrist; "
        "nose > {s}_eye > {s}_ear", ("right", "left"), "pelvis neck", "neck {s}_shoulder {s}_elbow {s}_wrist",
        "pelvis {s}_hip {s}_knee {s}_ankle"),
    "Motive": (
        "Hip > Ab > Chest > Neck > Head; Chest > {s}UArm > {s}FArm > {s}Hand > {s}Thumb1; Hip > {s}Thigh > {s}Shin > "
        "{s}Foot > {s}Toe", ("L", "R"), "Hip Ab Chest Neck Head", "Chest {s}UArm {s}FArm {s}Hand",
        "Hip {s}Thigh {s}Shin {s}Foot {s}Toe"),
    "lower arm on either side": (
        "pelvis > {s}_thigh > {s}_shank > {s}_foot > {s}_toes; pelvis > abdomen > thorax > head; thorax > {s}_uarm > "
        "{s}_larm > {s}_hand", ("l", "r"), "pelvis abdomen thorax head", "thorax {s}_uarm {s}_larm {s}_hand",
        "pelvis {s}_thigh {s}_shank {s}_foot {s}_toes"),
    "inner shoulders": (
        "root > {s}hip > {s}knee > {s}ankle > {s}toes; root > belly > spine > chest > neck > head; chest > {s}inshoulder > "
        "{s}shoulder > {s}elbow > {s}wrist > {s}hand", ("r", "l"), "root belly spine chest neck head",
        "chest {s}inshoulder {s}shoulder {s}elbow {s}wrist {s}hand", "root {s}hip {s}knee {s}ankle {s}toes"),
    "MikuMikuDance": (
        "全ての親 > センター > 腰 > 上半身 > 上半身2 > 首 > 頭 > {s}目; 上半身2 > {s}肩 > {s}腕 > {s}腕捩 > {s}ひじ > {s}手首 > "
        "{s}親指１; 腰 > 下半身 > {s}足 > {s}ひざ > {s}足首 > {s}つま先; 下半身 > {s}足D > {s}ひざD > {s}足首D > {s}足先EX; "
        "全ての親 > {s}足ＩＫ > {s}つま先ＩＫ", ("左", "右"), "腰 上半身 上半身2 首 頭", "上半身2 {s}肩 {s}腕 {s}ひじ {s}手首",
        "下半身 {s}足 {s}ひざ {s}足首 {s}つま先"),
    "big toes for a foot": (
        "MidHip > Neck > Nose > {s}Eye > {s}Ear; Neck > {s}Shoulder > {s}Elbow > {s}Wrist; MidHip > {s}Hip > {s}Knee > "
        "{s}Ankle > {s}BigToe > {s}SmallToe; {s}Ankle > {s}Heel", ("R", "L"), "MidHip Neck",
        "Neck {s}Shoulder {s}Elbow {s}Wrist", "MidHip {s}Hip {s}Knee {s}Ankle {s}BigToe"),
    "palms for hands": (
        "CATRigPelvis > CATRig{s}LegThigh > CATRig{s}LegCalf > CATRig{s}LegAnkle; CATRigPelvis > CATRigSpine1 > "
        "CATRigRibcage > CATRigHead; CATRigRibcage > CATRig{s}ArmUpperarm > CATRig{s}ArmForearm > CATRig{s}ArmPalm > "
        "CATRig{s}ArmDigit11", ("L", "R"), "CATRigPelvis CATRigSpine1 CATRigRibcage CATRigHead",
        "CATRigRibcage CATRig{s}ArmUpperarm CATRig{s}ArmForearm CATRig{s}ArmPalm",
        "CATRigPelvis CATRig{s}LegThigh CATRig{s}LegCalf CATRig{s}LegAnkle"),
    "things under hands and head": (
        "Root > Hips > Spine > Head > HeadBand; Head > HeadGeo; Spine > {s}Arm > {s}Hand > {s}HandObj; {s}Hand > "
        "{s}HandSensor; {s}Hand > weapon_{s}; Spine > {s}Wing1; Hips > Tail1 > Tail2; Hips > rear_pack; Hips > {s}Leg > "
        "{s}Foot > {s}FootIK", ("Left", "Right"), "Hips Spine Head", "Spine {s}Arm {s}Hand", "Hips {s}Leg {s}Foot"),
    "necks that twist, toes that share": (
        "Base_Hip > Base_Pelvis > Base_{s}_Thigh > Base_{s}_Calf > Base_{s}_Foot > Base_{s}_ToeBaseShareBone; Base_{s}_Foot "
        "> Base_{s}_ToeBase > Base_{s}_IndexToe1; Base_Hip > Base_Spine01 > Base_NeckTwist01 > Base_Head; Base_Spine01 > "
        "Base_{s}_Upperarm > Base_{s}_Forearm > Base_{s}_Hand; Base_{s}_Upperarm > Base_{s}_UpperarmTwist01", ("L", "R"),
        "Base_Hip Base_Spine01 Base_NeckTwist01 Base_Head", "Base_Spine01 Base_{s}_Upperarm Base_{s}_Forearm Base_{s}_Hand",
        "Base_Pelvis Base_{s}_Thigh Base_{s}_Calf Base_{s}_Foot Base_{s}_ToeBase"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_spellings_and_trees(name):
    text, sides, torso, arm, leg = ODD[name]
    joints, parents = nested(text, sides)
    order = np.random.default_rng(1).permutation(len(joints))
    place = {int(old): new for new, old in enumerate(order)}
    shuffled = [joints[old] for old in order], [place.get(parents[old], -1) for old in order]
    left, right = sides if sides[0][0] in "Ll左" else sides[::-1]
    expected = {"torso": torso}
    for side, spelt in (("left", left), ("right", right)):
        expected |= {f"{side}_arm": arm.format(s=spelt), f"{side}_leg": leg.format(s=spelt)}
    for tree_ in ((joints, parents), shuffled):
        skeleton = Skeleton.from_hierarchy(*tree_)
        found = {part: " ".join(skeleton.joints[index] for index in chain) for part, chain in skeleton.chains.items()}
        assert found == expected


def test_vertebrae_and_numbered_sides():
    assert parse_joint("L5") == ("", ("vertebra", "L5")) and parse_joint("Rig_jL5S1_jnt")[0] == ""
    assert parse_joint("toe_L5") == ("left", ("toe", "5")) and parse_joint("L1_hand")[0] == "left"


def test_a_limb_whose_side_nobody_tells_is_not_passed_over():
    text = (
        "Hips > Spine > Head; Spine > {s}Arm > {s}Hand; Hips > Thigh1 > Shin1 > Foot1; Hips > Thigh2 > Shin2 > Foot2"
    )
    with pytest.raises(SkeletonError, match="no left leg and no right leg.*Shin1, Foot1, Shin2, Foot2"):
        Skeleton.from_hierarchy(*nested(text))


def test_a_skeleton_travels_between_processes():
    skeleton = Skeleton.from_hierarchy(*vendor_tree("mixamo")[:2])
    code = "import pickle, sys; from modeling_motionpatch import Skeleton\n"
    code += (
        "it = pickle.load(sys.stdin.buffer); sys.exit(it not in {Skeleton(it.name, it.joints, it.parents, it.chains)})"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": "123"}
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(skeleton), check=True, env=environment)


def test_absent_parts_are_empty():
    joints, parents, *_ = vendor_tree("blender")
    keep = [i for i, joint in enumerate(joints) if not joint.endswith(".R") or "arm" not in joint]
    keep = [i for i in keep if joints[i] not in ("shoulder.R", "hand.R", "thumb.01.R")]
    place = {old: new for new, old in enumerate(keep)}
    skeleton = Skeleton.from_hierarchy([joints[i] for i in keep], [place.get(parents[i], -1) for i in keep])
    assert skeleton.chains["right_arm"] == () and len(skeleton.chains["left_arm"]) == 5


BAD = {
    "cycle": (["a", "b", "c"], [-1, 2, 1], "cycle"),
    "two roots": (["a", "b"], [-1, -1], "2 roots"),
    "no root": (["a", "b"], [1, 0], "0 roots"),
    "twice": (["hips", "hips"], [-1, 0], "twice"),
    "counts": (["hips"], [-1, 0], "parents"),
    "range": (["hips", "b"], [-1, 7], "outside"),
    "unsigned": (["hips", "b"], np.array([2**32 - 1, 0], np.uint32), "the root's parent is -1"),
    "parent None": (["hips", "b"], [None, 0], "parent of joint 'hips' is None"),
    "parent by name": (["hips", "b"], [-1, "hips"], "'hips'; give each joint the index"),
    "half a parent": (["hips", "b", "c"], [-1, 0.5, 1], "0.5; give each joint the index"),
    "no parents": (["hips", "b"], None, "0 parents"),
    "no names": ([f"joint_{i}" for i in range(22)], [-1, *range(21)], "joint_3"),
    "empty": ([], [], "no joints"),
    "both sides": (["hips", "left_right_foot"], [-1, 0], "left and as right"),
    "crossed": (["hips", "spine", "head", "left_hip", "right_knee"], [-1, 0, 1, 0, 3], "hangs under"),
    "two people": (["world", "hips", "left_hip", "left_foot", "p2_hips", "p2_left_hip", "p2_left_foot"],
                   [-1, 0, 1, 2, 0, 4, 5], "left leg could end"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_hierarchies_are_refused(case):
    joints, parents, message = BAD[case]
    with pytest.raises(SkeletonError, match=message):
        Skeleton.from_hierarchy(joints, parents)


def test_unknown_names():
    with pytest.raises(SkeletonError, match="smpl22"):
        get_skeleton("smpl23")
    with pytest.raises(SkeletonError, match="unknown body parts"):
        Skeleton("x", ["a"], [-1], {"tail": [0]})
    for chain_ in ([0.5], [[0]], [None]):
        with pytest.raises(SkeletonError, match="list of joint indices or names"):
            Skeleton("x", ["a"], [-1], {"torso": chain_})
    with pytest.raises(SkeletonError, match="names 'b'"):
        Skeleton("x", ["a"], [-1], {"torso": ["b"]})


@needs_shared
@pytest.mark.parametrize("name,expected", [("bandai", 5), ("cmu_daz", 5), ("hdm05", 6)])
def test_real_hierarchies(name, expected):
    data = json.loads((SHARED / "mocap" / name / "skeleton.json").read_text())
    skeleton = Skeleton.from_hierarchy(data["joints"], data["parents"], name=name)
    assert all(len(skeleton.chains[part]) == expected for part in BODY_PARTS[1:])
    # Left is left: walking people put their left side to the left of where they go, whatever the joints are called.
    with np.load(SHARED / "mocap" / name / "joints.npz") as data:
        offsets, scale = data["offsets"], float(data["scale"])
        joints = data["joints"]
    agree = []
    for start, end in zip(offsets[:-1][:200], offsets[1:][:200]):
        clip = joints[start:end].astype(np.float32) * scale
        step = clip[5:, skeleton.pelvis] - clip[:-5, skeleton.pelvis]
        axis = lateral_axis(clip, skeleton)[:-5]
        forward = np.cross(axis, [0, 1, 0])
        fast = np.linalg.norm(step[:, [0, 2]], axis=1) > 0.25  # [m] in a quarter of a second: walking
        agree.extend((np.sign((forward * step).sum(1)) > 0)[fast])
    assert np.mean(agree) > 0.7
