"""BVH files: forward kinematics against scipy frame by frame, every layout a vendor writes, and malformed files."""

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from modeling_motionpatch.io import MotionFileError, MotionFileWarning, load_motion
from modeling_motionpatch.io.text_numbers import _parse, parse_numbers


SHARED = Path(__file__).resolve().parents[1].parent / "shared"
RAW = SHARED / "mocap" / "raw"

# A person of 1.75 m: name, parent, OFFSET in metres, Y up, facing +Z (left is +X). Parents come first.
BODY = [
    ("Hips", -1, (0, 0, 0)),
    ("Spine", 0, (0, 0.12, 0)),
    ("Neck", 1, (0, 0.4, 0)),
    ("Head", 2, (0, 0.12, 0.02)),
    ("LeftArm", 1, (0.18, 0.35, 0)),
    ("LeftForeArm", 4, (0.28, 0, 0)),
    ("LeftHand", 5, (0.25, 0, 0)),
    ("RightArm", 1, (-0.18, 0.35, 0)),
    ("RightForeArm", 7, (-0.28, 0, 0)),
    ("RightHand", 8, (-0.25, 0, 0)),
    ("LeftUpLeg", 0, (0.1, -0.05, 0)),
    ("LeftLeg", 10, (0, -0.42, 0)),
    ("LeftFoot", 11, (0, -0.41, 0)),
    ("LeftToeBase", 12, (0, -0.05, 0.15)),
    ("RightUpLeg", 0, (-0.1, -0.05, 0)),
    ("RightLeg", 14, (0, -0.42, 0)),
    ("RightFoot", 15, (0, -0.41, 0)),
    ("RightToeBase", 16, (0, -0.05, 0.15)),
]
NAMES = [name for name, _, _ in BODY]
PARENTS = [parent for _, parent, _ in BODY]
TIPS = {3: (0, 0.2, 0), 6: (0.1, 0, 0), 9: (-0.1, 0, 0), 13: (0, 0, 0.05), 17: (0, 0, 0.05)}  # end sites
ROOT_CHANNELS = "Xposition Yposition Zposition Zrotation Xrotation Yrotation".split()
# x, y, z of the file in terms of ours, for every upward axis: rows are the file's axes.
TURNS = {
    "y": np.eye(3),
    "z": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "x": np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
}


def channels_of(orders, positions=()):
    """Channel names per joint: `orders` of the rotations, cycled; joints in `positions` get positions too."""
    result = []
    for index in range(len(BODY)):
        order = orders[index % len(orders)]
        rotations = [f"{axis}rotation" for axis in order]
        moves = ["Xposition", "Yposition", "Zposition"] if index == 0 or index in positions else []
        result.append(moves + rotations)
    return result


def walk(num_frames, channels, seed=0, amplitude=25.0, turn=TURNS["y"]):
    """Channel values `(T, C)` in degrees and metres: small smooth random rotations, the root strolling about."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_frames)[:, None] / 30
    columns = []
    for index, names in enumerate(channels):
        offset = np.array(BODY[index][2], dtype=float)
        base = np.array([0.0, 0.93, 0.0]) if index == 0 else offset
        sway = 0.3 * np.sin(time * rng.uniform(0.5, 2, 3)) * ([1, 0.05, 1] if index == 0 else [0.05] * 3)
        position = (base + sway) @ turn.T
        for name in names:
            if name.endswith("position"):
                columns.append(position[:, "XYZ".index(name[0])])
            else:
                columns.append(amplitude * np.sin(time[:, 0] * rng.uniform(0.5, 3) + rng.uniform(0, 6)))
    return np.stack(columns, axis=1)


def write_bvh(channels, values, scale=1.0, turn=TURNS["y"], end_sites=True, fmt="{:.6f}", frame_time="0.0333333"):
    """Text of a BVH file; `values` in degrees and metres."""
    lines = ["HIERARCHY"]

    def add(index, depth):
        pad = "\t" * depth
        name, parent, offset = BODY[index]
        lines.append(f"{pad}{'ROOT' if parent < 0 else 'JOINT'} {name}")
        lines.append(pad + "{")
        lines.append(pad + "\tOFFSET " + " ".join(repr(float(v)) for v in scale * (turn @ offset)))
        lines.append(pad + f"\tCHANNELS {len(channels[index])} " + " ".join(channels[index]))
        for child in range(len(BODY)):
            if PARENTS[child] == index:
                add(child, depth + 1)
        if end_sites and index in TIPS:
            tip = " ".join(repr(float(v)) for v in scale * (turn @ TIPS[index]))
            lines.extend([pad + "\tEnd Site", pad + "\t{", pad + f"\t\tOFFSET {tip}", pad + "\t}"])
        lines.append(pad + "}")

    add(0, 0)
    order = file_order()
    starts = np.cumsum([0] + [len(names) for names in channels])
    moves = np.concatenate([[name.endswith("position") for name in names] for names in channels]).astype(bool)
    values = np.where(moves, values * scale, values)
    columns = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order]).astype(int)
    lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {frame_time}"]
    lines += [" ".join(fmt.format(v) for v in row) for row in values[:, columns]]
    return "\n".join(lines) + "\n"


def file_order():
    """Depth-first order, in which `write_bvh` writes the joints."""
    order, stack = [], [0]
    while stack:
        index = stack.pop()
        order.append(index)
        stack.extend(child for child in reversed(range(len(BODY))) if PARENTS[child] == index)
    return order


def reference(channels, values, turn=TURNS["y"]):
    """Positions `(T, J, 3)` in metres in the file's axes by scipy rotations, a frame and a joint at a time."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    out = np.zeros((len(values), len(BODY), 3))
    for frame, row in enumerate(values):
        place, world = 0, []
        for index, (_, parent, offset) in enumerate(BODY):
            local = turn @ np.array(offset, dtype=float)
            angles, axes = [], ""
            for name in channels[index]:
                if name.endswith("position"):
                    local["XYZ".index(name[0])] = row[place]
                else:
                    axes, angles = axes + name[0], angles + [row[place]]
                place += 1
            turned = rotation.from_euler(axes, angles, degrees=True) if axes else rotation.identity()
            if parent < 0:
                out[frame, index], here = local, turned
            else:
                out[frame, index] = out[frame, parent] + world[parent].apply(local)
                here = world[parent] * turned
            world.append(here)
    return out


def load(tmp_path, text, **kwargs):
    path = tmp_path / "take.bvh"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_motion(path, **kwargs)


def in_file_order(joints):
    return joints[:, file_order()]


@pytest.fixture(scope="module")
def plain():
    channels = channels_of(["ZXY"])
    values = walk(12, channels)
    return channels, values, write_bvh(channels, values)


# --------------------------------------------------------------------------------------------------------------------
# Right numbers


@pytest.mark.parametrize("orders", [["XYZ"], ["XZY"], ["YXZ"], ["YZX"], ["ZXY"], ["ZYX"], ["ZXY", "XYZ", "Y", "ZXZ"]])
@pytest.mark.parametrize("positions", [(), range(len(BODY)), (4, 11)])
def test_forward_kinematics_against_scipy(tmp_path, orders, positions):
    channels = channels_of(orders, positions)
    values = walk(7, channels)
    motion = load(tmp_path, write_bvh(channels, values, fmt="{:.9f}"), units="m", up="y")
    assert motion.joints.dtype == np.float32 and motion.fps == 30.0
    assert motion.skeleton.joints == tuple(NAMES[i] for i in file_order())
    np.testing.assert_allclose(motion.joints, in_file_order(reference(channels, values)), atol=2e-6)


def test_single_position_channel_replaces_its_component_only(tmp_path):
    channels = channels_of(["ZXY"])
    channels[4] = ["Yposition"] + channels[4]
    values = walk(5, channels)
    motion = load(tmp_path, write_bvh(channels, values, fmt="{:.9f}"), units="m", up="y")
    np.testing.assert_allclose(motion.joints, in_file_order(reference(channels, values)), atol=2e-6)


def test_positions_mixed_between_rotations(tmp_path):
    channels = channels_of(["ZXY"])
    channels[0] = ["Zrotation", "Yposition", "Xrotation", "Xposition", "Yrotation", "Zposition"]
    values = walk(5, channels)
    motion = load(tmp_path, write_bvh(channels, values, fmt="{:.9f}"), units="m", up="y")
    np.testing.assert_allclose(motion.joints, in_file_order(reference(channels, values)), atol=2e-6)


@pytest.mark.parametrize("up", ["y", "z", "-y", "x"])
@pytest.mark.parametrize(
    ("unit", "metres"), [("m", 1), ("cm", 0.01), ("mm", 0.001), ("in", 0.0254), ("cmu", 0.0254 / 0.45)]
)
def test_units_and_axes_are_found(tmp_path, caplog, up, unit, metres):
    turn = TURNS[up]
    channels = channels_of(["ZXY"])
    values = walk(40, channels, amplitude=12, turn=turn)
    truth = in_file_order(reference(channels, values, turn)) @ turn  # back to Y up
    text = write_bvh(channels, values, scale=1 / metres, turn=turn, fmt="{:.9f}")
    found = load(tmp_path, text)
    np.testing.assert_allclose(found.joints, truth, atol=2e-5)
    assert any(f"units guessed as {unit}" in note for note in found.notes)
    assert any(f"up guessed as {up}" in note for note in found.notes)
    told = load(tmp_path, text, units=unit, up=up)
    np.testing.assert_array_equal(told.joints, found.joints)
    number = load(tmp_path, text, units=metres, up="+" + up.upper() if len(up) == 1 else up)
    np.testing.assert_allclose(number.joints, found.joints, rtol=1e-6)
    wrong = load(tmp_path, text, units=2 * metres, up=up)
    np.testing.assert_allclose(wrong.joints, 2 * found.joints, rtol=1e-6)


def test_a_guess_is_announced(tmp_path, caplog, plain):
    from modeling_motionpatch.io import base

    base._announced.clear()
    channels, values, _ = plain
    text = write_bvh(channels, values, scale=100)
    with caplog.at_level("WARNING", logger="modeling_motionpatch.io"):
        load(tmp_path, text)
        load(tmp_path, text)
    assert [record.message for record in caplog.records if "cm" in record.message] != []
    assert len(caplog.records) == 1  # once, not once a file


def test_left_stays_left_for_every_axis(tmp_path):
    """All turns are proper: a raised left hand is never a right one."""
    channels = channels_of(["ZXY"])
    for up, turn in TURNS.items():
        motion = load(tmp_path, write_bvh(channels, walk(30, channels, amplitude=5, turn=turn), turn=turn), up=up)
        names = motion.skeleton.joints
        left = motion.joints[:, names.index("LeftUpLeg")] - motion.joints[:, names.index("RightUpLeg")]
        toes = motion.joints[:, names.index("LeftToeBase")] - motion.joints[:, names.index("LeftFoot")]
        assert np.all(np.cross(left, [0, 1, 0])[:, [0, 2]] * toes[:, [0, 2]] @ [1, 1] > 0)


def test_mirrored_axes_are_reported(tmp_path):
    channels = channels_of(["ZXY"])
    values = walk(20, channels, amplitude=5)
    text = write_bvh(channels, values)
    text = text.replace("Left", "Tmp").replace("Right", "Left").replace("Tmp", "Right")
    with pytest.warns(MotionFileWarning, match="toes point backwards"):
        motion = load(tmp_path, text)
    assert any("toes" in note for note in motion.notes)


@pytest.mark.parametrize(
    ("frame_time", "fps"),
    [("0.0333333", 30), (".0083333", 120), ("0.033367", 29.97), ("0.04", 25), ("8.3333e-3", 120), ("0.0416667", 24)],
)
def test_frame_rate(tmp_path, plain, frame_time, fps):
    motion = load(tmp_path, plain[2].replace("Frame Time: 0.0333333", f"Frame Time: {frame_time}"))
    assert motion.fps == pytest.approx(fps, rel=1e-4)
    assert motion.duration == pytest.approx(12 / fps, rel=1e-4)
    assert load(tmp_path, plain[2], fps=50).fps == 50.0


# --------------------------------------------------------------------------------------------------------------------
# Layouts


def _one_line_header(text):
    head, rows = text.split("Frames:")
    return " ".join(head.split()) + "\nFrames:" + rows


LAYOUTS = {
    "crlf": lambda t: t.replace("\n", "\r\n"),
    "cr": lambda t: t.replace("\n", "\r"),
    "spaces for tabs": lambda t: t.replace("\t", "  "),
    "tabs between numbers": lambda t: re.sub(r"(?<=[\d.]) (?=[-\d])", "\t", t),
    "trailing blanks": lambda t: t.replace("\n", "   \t\n"),
    "blank lines": lambda t: t.replace("\n", "\n\n"),
    "byte order mark": lambda t: "\ufeff" + t,
    "brace on the same line": lambda t: re.sub(r"\n\t*\{", " {", t),
    "lower case": lambda t: t.replace("OFFSET", "offset").replace("CHANNELS", "channels").replace("JOINT", "joint"),
    "channel case": lambda t: t.replace("rotation", "ROTATION").replace("position", "Position"),
    "end site case": lambda t: t.replace("End Site", "End site"),
    "no final line end": lambda t: t.rstrip("\n"),
    "many final line ends": lambda t: t + "\n\n \n",
    "tab after colon": lambda t: t.replace("Frames: ", "Frames:\t").replace("Time: ", "Time:\t"),
    "blank before colon": lambda t: t.replace("Frames:", "Frames :").replace("Time:", "Time :"),
    "frame time first": lambda t: re.sub(r"(Frames: \d+)\n(Frame Time: \S+)", r"\2\n\1", t),
    "plus signs": lambda t: re.sub(r"(?<= )(?=\d+\.\d{6})", "+", t),
    "one line header": _one_line_header,
    "comments": lambda t: "# by a script\n" + t.replace("MOTION", "  // rows\nMOTION") + "# end\n",
    "no colons": lambda t: t.replace("Frames:", "Frames").replace("Frame Time:", "FrameTime"),
    "count with a point": lambda t: t.replace("Frames: 12", "Frames: 12.0"),
    "form feed": lambda t: t.replace("MOTION", "\fMOTION"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_change_nothing(tmp_path, plain, name):
    text = LAYOUTS[name](plain[2])
    assert text != plain[2]
    np.testing.assert_array_equal(load(tmp_path, text).joints, load(tmp_path, plain[2]).joints)


@pytest.mark.parametrize("fmt", ["{:.8e}", "{:.12E}", "{:.17g}", "{:.15f}"])
def test_exponents_and_long_numbers(tmp_path, plain, fmt):
    channels, values, text = plain
    np.testing.assert_allclose(
        load(tmp_path, write_bvh(channels, values, fmt=fmt)).joints, load(tmp_path, text).joints, atol=1e-5
    )


def test_missing_end_sites(tmp_path, plain):
    channels, values, text = plain
    without = load(tmp_path, write_bvh(channels, values, end_sites=False))
    np.testing.assert_array_equal(without.joints, load(tmp_path, text).joints)
    kept = load(tmp_path, text, end_sites=True)
    assert kept.skeleton.num_joints == len(BODY) + len(TIPS)
    assert "LeftHand_end" in kept.skeleton.joints
    placed = {kept.skeleton.joints[index] for chain in kept.skeleton.chains.values() for index in chain}
    assert not any(name.endswith("_end") for name in placed)
    hand, tip = (kept.skeleton.joints.index(name) for name in ("LeftHand", "LeftHand_end"))
    np.testing.assert_allclose(np.linalg.norm(kept.joints[:, tip] - kept.joints[:, hand], axis=-1), 0.1, atol=1e-6)


def test_two_end_sites_and_a_joint_of_that_name(tmp_path, plain):
    text = plain[2].replace("JOINT Neck", "JOINT Head_end")
    text = text.replace("End Site", "End Site\n{\nOFFSET 0 0.1 0\n}\nEnd Site")
    names = load(tmp_path, text, end_sites=True).skeleton.joints
    assert {"Head_end2", "Head_end3", "LeftHand_end", "LeftHand_end2"} <= set(names)


def test_names_with_blanks_and_namespaces(tmp_path, plain):
    text = plain[2].replace("Left", "Left ").replace("Right", "mixamorig:Right")
    assert "Left UpLeg" in load(tmp_path, text).skeleton.joints
    latin = plain[2].replace("JOINT Spine", "JOINT Spine_\xe4").encode("latin-1")
    assert "Spine_ä" in load(tmp_path, latin).skeleton.joints


def test_skeleton_picks_joints_by_name(tmp_path, plain):
    from modeling_motionpatch import Skeleton

    wanted = ["Hips", "RightUpLeg", "RightLeg", "RightFoot", "LeftUpLeg", "LeftLeg", "LeftFoot", "Spine", "Neck"]
    skeleton = Skeleton.from_hierarchy(wanted, [-1, 0, 1, 2, 0, 4, 5, 0, 7], name="legs")
    whole, motion = load(tmp_path, plain[2]), load(tmp_path, plain[2], skeleton=skeleton)
    assert motion.skeleton is skeleton
    np.testing.assert_array_equal(motion.joints, whole.joints[:, [whole.skeleton.joints.index(n) for n in wanted]])
    with pytest.raises(MotionFileError, match="joints that the file lacks: pelvis"):
        load(tmp_path, plain[2], skeleton="smpl22")


# --------------------------------------------------------------------------------------------------------------------
# T pose in front


def t_posed(extra, channels, seed=1):
    """A take whose arms hang, with `extra` frames of a T pose before it."""
    values = walk(40, channels, seed, amplitude=5)
    place = np.cumsum([0] + [len(names) for names in channels])
    values[:, place[NAMES.index("LeftArm")]] -= 75  # about z: down
    values[:, place[NAMES.index("RightArm")]] += 75
    rest = np.zeros((extra, values.shape[1]))
    rest[:, :3] = values[0, :3]
    return np.concatenate([rest, values])


def test_t_pose_is_reported_and_dropped_on_request(tmp_path):
    channels = channels_of(["ZXY"])
    text = write_bvh(channels, t_posed(1, channels))
    kept, dropped = load(tmp_path, text), load(tmp_path, text, drop_t_pose=True)
    assert kept.num_frames == 41 and dropped.num_frames == 40
    assert any("T or rest pose" in note and "drop_t_pose" in note for note in kept.notes)
    np.testing.assert_array_equal(dropped.joints, kept.joints[1:])


def test_a_take_without_t_pose_is_left_alone(tmp_path):
    channels = channels_of(["ZXY"])
    for values in (t_posed(0, channels), walk(30, channels), t_posed(2, channels)[1:] * 0.05):
        text = write_bvh(channels, values)
        motion = load(tmp_path, text, drop_t_pose=True)
        assert motion.num_frames == len(values) and not any("pose" in note for note in motion.notes)


# --------------------------------------------------------------------------------------------------------------------
# Fewer and more rows


@pytest.mark.parametrize("rows", [1, 2, 11])
def test_fewer_rows_than_declared(tmp_path, plain, rows):
    lines = plain[2].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    with pytest.warns(MotionFileWarning, match=f"12 frames are declared, but {rows} were read"):
        motion = load(tmp_path, "\n".join(lines[: first + rows]))
    assert motion.num_frames == rows and any("declared" in note for note in motion.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = load(tmp_path, plain[2])
    np.testing.assert_array_equal(motion.joints, whole.joints[:rows])


def test_more_rows_than_declared(tmp_path, plain):
    whole = load(tmp_path, plain[2])
    for trailer in ("", "1 2 3\n", "the end\n"):
        with pytest.warns(MotionFileWarning, match="more rows than the 5"):
            motion = load(tmp_path, plain[2].replace("Frames: 12", "Frames: 5") + trailer)
        np.testing.assert_array_equal(motion.joints, whole.joints[:5])


def test_rows_split_over_lines_are_joined(tmp_path, plain):
    """Only where every frame ends with a line: a number that slipped into the next row is a broken file."""
    whole = load(tmp_path, plain[2])
    head, rows = re.split(r"(?<=Frame Time: )([^\n]*\n)", plain[2])[0::2]
    head += "0.0333333\n"
    rows = [row.split() for row in rows.splitlines()]
    split = "\n".join("\n".join([" ".join(row[:20]), " ".join(row[20:])]) for row in rows)
    for text in (split, "\n\n".join(number for row in rows for number in row), split.replace("\n", "\r\n") + "\n"):
        with pytest.warns(MotionFileWarning, match="split over several lines; they were joined"):
            motion = load(tmp_path, head + text)
        np.testing.assert_array_equal(motion.joints, whole.joints)
    rows[4].insert(0, rows[3].pop())
    for broken in ("\n".join(" ".join(row) for row in rows), split + " 1", split.rsplit(" ", 1)[0]):
        with pytest.raises(
            MotionFileError, match="line 1[0-9][0-9]: [0-9]+ numbers, but the hierarchy has 57 channels"
        ):
            load(tmp_path, head + broken)


def test_huge_frame_count_allocates_nothing(tmp_path, plain):
    import tracemalloc

    tracemalloc.start()
    with pytest.warns(MotionFileWarning, match="999999999999 frames are declared, but 12"):
        motion = load(tmp_path, plain[2].replace("Frames: 12", "Frames: 999999999999"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert motion.num_frames == 12 and peak < 50e6


def test_a_small_file_cannot_grow_without_bound(tmp_path):
    """A thousand joints that no channel moves, and many short rows."""
    leg = "JOINT LeftUpLeg { OFFSET 1 0 0 JOINT LeftLeg { OFFSET 0 -40 0 JOINT LeftFoot { OFFSET 0 -40 0 } } } "
    chain = "".join(f"JOINT x{i} {{ OFFSET 0 1 0 " for i in range(900)) + "}" * 900
    head = "HIERARCHY ROOT Hips { OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition " + leg + chain + "}\nMOTION\n"
    rows = "Frames: 100000\nFrame Time: 0.01\n" + "0 0 0\n" * 100_000
    with pytest.raises(MotionFileError, match="904 joints.*have 3 channels. Cut the take"):
        load(tmp_path, head + rows)


def test_zeros_at_the_end_are_a_cut_off_row(tmp_path, plain):
    """What a full disk leaves behind."""
    with pytest.warns(MotionFileWarning, match="last row is cut off"):
        motion = load(tmp_path, plain[2].encode()[:-300] + bytes(300))
    np.testing.assert_array_equal(motion.joints, load(tmp_path, plain[2]).joints[:11])


def test_cut_anywhere_reads_whole_frames_or_says_why(tmp_path, plain):
    """A file cut at any byte: a prefix of the frames with a warning, or an error; never other numbers."""
    data = plain[2].encode()
    whole = load(tmp_path, plain[2])
    start = data.index(b"Frame Time")
    frames = []
    for cut in [*range(0, start, 97), *range(start, len(data) - 1, 211), *range(len(data) - 40, len(data) - 1)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotionFileWarning)
            try:
                motion = load(tmp_path, data[:cut])
            except MotionFileError as error:
                assert "take.bvh" in str(error)
                continue
        good = motion.num_frames - 1  # the last number of the last row may be cut, which cannot be told
        np.testing.assert_array_equal(motion.joints[:good], whole.joints[:good])
        frames.append(motion.num_frames)
    assert frames == sorted(frames) and len(set(frames)) > 5


# --------------------------------------------------------------------------------------------------------------------
# Malformed

FIRST_ROW = re.compile(r"(?<=0\.0333333\n)([^\n]*)")


def _row(change):
    return lambda t: FIRST_ROW.sub(lambda match: change(match[1]), t, count=1)


MALFORMED = {
    "empty": (lambda t: "", "empty"),
    "only blanks": (lambda t: "  \n \n", "HIERARCHY"),
    "binary noise": (lambda t: np.random.default_rng(0).bytes(5000), "HIERARCHY"),
    "noise after keyword": (lambda t: b"HIERARCHY\n" + np.random.default_rng(1).bytes(5000), "line"),
    "noise in the header": (lambda t: t.replace("JOINT Neck", "JO\x00\x01NT Neck"), "line"),
    "noise in the rows": (_row(lambda row: "\x00\x01\x02" + row[3:]), "line"),
    "zeros in the middle": (lambda t: t.encode()[:-900] + bytes(400) + t.encode()[-500:], "line"),
    "utf-16": (lambda t: t.encode("utf-16"), "UTF-16"),
    "gzip": (lambda t: b"\x1f\x8b" + t.encode(), "compressed"),
    "no hierarchy keyword": (lambda t: t.replace("HIERARCHY\n", ""), "line 1.*HIERARCHY"),
    "no root": (lambda t: "HIERARCHY\n" + t[t.index("MOTION") :], "no ROOT"),
    "root is a joint": (lambda t: t.replace("ROOT", "JOINT"), "line 2.*outside of the ROOT"),
    "two roots": (
        lambda t: t.replace("MOTION", "ROOT Second\n{\nOFFSET 0 0 0\nCHANNELS 0\n}\nMOTION"),
        "second ROOT.*Split",
    ),
    "root inside root": (lambda t: t.replace("JOINT Neck", "ROOT Neck"), "ROOT 'Neck' inside"),
    "no motion": (lambda t: t[: t.index("MOTION")], "MOTION"),
    "ends after motion": (lambda t: t[: t.index("Frames")], "Frames"),
    "no frames line": (lambda t: t.replace("Frames: 12\n", ""), "Frames"),
    "no frame time line": (lambda t: t.replace("Frame Time: 0.0333333\n", ""), "Frame Time"),
    "frames negative": (lambda t: t.replace("Frames: 12", "Frames: -12"), r"line \d+.*Frames: -12"),
    "frames zero": (lambda t: t.replace("Frames: 12", "Frames: 0"), "Frames: 0"),
    "frames no number": (lambda t: t.replace("Frames: 12", "Frames: many"), "Frames: many"),
    "frames a fraction": (lambda t: t.replace("Frames: 12", "Frames: 1.5"), "Frames: 1.5"),
    "frames missing": (lambda t: t.replace("Frames: 12", "Frames:"), "Frames"),
    "frame time zero": (lambda t: t.replace("0.0333333", "0"), "Frame Time: 0"),
    "frame time negative": (lambda t: t.replace("0.0333333", "-0.03"), "Frame Time: -0.03"),
    "frame time nan": (lambda t: t.replace("0.0333333", "nan"), "Frame Time: nan"),
    "frame time no number": (lambda t: t.replace("0.0333333", "fast"), "Frame Time: fast"),
    "frame time in ms": (lambda t: t.replace("0.0333333", "33.3"), "frames a second"),
    "frame time tiny": (lambda t: t.replace("0.0333333", "1e-9"), "frames a second"),
    "name twice": (lambda t: t.replace("JOINT RightLeg", "JOINT LeftLeg"), r"line \d+.*'LeftLeg'.*line \d+"),
    "no name": (lambda t: t.replace("JOINT Neck", "JOINT"), "without a name"),
    "no opening brace": (lambda t: t.replace("JOINT Neck\n\t\t{", "JOINT Neck"), "no opening brace"),
    "no closing brace": (lambda t: t.replace("}\nMOTION", "MOTION"), "1 braces"),
    "closing brace too many": (lambda t: t.replace("}\nMOTION", "}\n}\nMOTION"), "closing brace"),
    "no offset": (lambda t: t.replace("\tOFFSET 0.0 0.12 0.0\n", "", 1), "no OFFSET"),
    "offset twice": (
        lambda t: t.replace("OFFSET 0.0 0.12 0.0\n", "OFFSET 0.0 0.12 0.0\nOFFSET 0 0 0\n", 1),
        "second OFFSET",
    ),
    "offset of two": (lambda t: t.replace("OFFSET 0.0 0.12 0.0", "OFFSET 0.0 0.12", 1), "OFFSET"),
    "offset nan": (lambda t: t.replace("OFFSET 0.0 0.12 0.0", "OFFSET 0.0 nan 0.0", 1), "'nan'"),
    "offset infinite": (lambda t: t.replace("OFFSET 0.0 0.12 0.0", "OFFSET 0.0 1e999 0.0", 1), "'1e999'"),
    "offset words": (lambda t: t.replace("OFFSET 0.0 0.12 0.0", "OFFSET a b c", 1), "'a'"),
    "channels twice": (
        lambda t: t.replace("CHANNELS 3", "CHANNELS 0\nCHANNELS 3", 1),
        "second CHANNELS",
    ),
    "channels too many": (lambda t: t.replace("CHANNELS 3", "CHANNELS 2", 1), "more channels"),
    "channels too few": (lambda t: t.replace("CHANNELS 3", "CHANNELS 4", 1), "in CHANNELS 4"),
    "channels negative": (lambda t: t.replace("CHANNELS 3", "CHANNELS -3", 1), "CHANNELS -3"),
    "channels huge": (lambda t: t.replace("CHANNELS 3", "CHANNELS 999999999999", 1), "CHANNELS 9999"),
    "channels no number": (lambda t: t.replace("CHANNELS 3", "CHANNELS three", 1), "CHANNELS three"),
    "channel unknown": (lambda t: t.replace("Xrotation", "Wrotation", 1), "Wrotation"),
    "channel twice": (lambda t: t.replace("Yposition", "Xposition", 1), "Xposition twice"),
    "no channels": (lambda t: re.sub(r"CHANNELS[^\n]*", "CHANNELS 0", t), "nothing moves"),
    "end without site": (lambda t: t.replace("End Site", "End", 1), "Site"),
    "channels in end site": (
        lambda t: t.replace("End Site\n", "End Site\n", 1).replace("OFFSET 0.0 0.2 0.0", "OFFSET 0 0.2 0 CHANNELS 1 Xrotation"),
        "End Site",
    ),
    "joint in end site": (lambda t: t.replace("OFFSET 0.0 0.2 0.0", "OFFSET 0 1 0 JOINT x { OFFSET 0 0 0 }"), "End Site"),
    "unknown keyword": (lambda t: t.replace("OFFSET", "OFSET", 1), "OFSET"),
    "text before root": (lambda t: t.replace("ROOT", "hello ROOT"), "hello"),
    "row too short": (_row(lambda row: row.rsplit(" ", 1)[0]), r"line \d+: 56 numbers.*57"),
    "row too long": (_row(lambda row: row + " 1.0"), r"line \d+: 58 numbers.*57"),
    "row with a word": (_row(lambda row: "x" + row), r"line \d+: 'x"),
    "row with nan": (_row(lambda row: "nan " + row.split(" ", 1)[1]), r"line \d+: 'nan'"),
    "row with inf": (_row(lambda row: "-inf " + row.split(" ", 1)[1]), r"line \d+: '-inf'"),
    "row beyond float": (_row(lambda row: "1e400 " + row.split(" ", 1)[1]), r"line \d+: '1e400'"),
    "row far away": (_row(lambda row: "1e30 " + row.split(" ", 1)[1]), "frame 0"),
    "decimal commas": (_row(lambda row: row.replace(".", ",")), "commas"),
    "fused numbers": (_row(lambda row: row.replace(" ", "-0 1", 1)), r"line \d+"),
    "hexadecimal": (_row(lambda row: "0x10 " + row.split(" ", 1)[1]), "0x10"),
    "underscores": (_row(lambda row: "1_0 " + row.split(" ", 1)[1]), "1_0"),
    "no rows": (lambda t: t[: t.index("0.0333333") + 10], "not one row"),
    "one half row": (lambda t: t[: t.index("0.0333333") + 40], "not one row"),
    "too many joints": (
        lambda t: "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n"
        + "".join(f"JOINT b{i}\n{{\nOFFSET 0 1 0\n" for i in range(2000)) + "}" * 2001 + t[t.index("MOTION") :],
        "more than 1024 joints",
    ),
    "endless header": (lambda t: "HIERARCHY\n" + "ROOT " * 500_000, "MOTION|brace"),
    "endless row": (lambda t: t + "0 " * 1_000_000, "line"),
    "names say nothing": (lambda t: re.sub(r"(ROOT|JOINT) (\w+)", lambda m: f"{m[1]} b{hash(m[2]) % 10**8}", t), "placed"),
    "both sides": (lambda t: t.replace("JOINT LeftArm", "JOINT LeftRightArm"), "left and as right"),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused(tmp_path, plain, name):
    change, message = MALFORMED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotionFileWarning)
        with pytest.raises(MotionFileError, match=message) as caught:
            load(tmp_path, change(plain[2]))
    assert "take.bvh" in str(caught.value) and len(str(caught.value)) < 3000


def test_random_damage_never_escapes_the_error(tmp_path, plain):
    """Bytes overwritten, removed and inserted at random: a motion of finite joints, or MotionFileError."""
    rng = np.random.default_rng(5)
    data = plain[2].encode()
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(damaged)))
            action = rng.integers(3)
            if action == 0:
                damaged[place] = int(rng.integers(256))
            elif action == 1:
                del damaged[place : place + int(rng.integers(1, 30))]
            else:
                damaged[place:place] = rng.bytes(int(rng.integers(1, 5)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotionFileWarning)
            try:
                motion = load(tmp_path, bytes(damaged))
            except MotionFileError:
                refused += 1
            else:
                assert np.isfinite(motion.joints).all() and 1 <= motion.num_frames <= 12
    assert 20 < refused < 150


# --------------------------------------------------------------------------------------------------------------------
# Numbers


def test_fast_numbers_are_those_of_the_library():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-6, 7, 500), [0.0, -0.0, 1, -1, 99999999]])
    for fmt in ("%.6f", "%.3f", "%d", "%.8f", "%g", "%.17g", "%.5e", "%+.4f"):
        tokens = [fmt % value for value in values]
        found = _parse("\n".join(tokens).encode())
        np.testing.assert_array_equal(found, [float(token) for token in tokens])
        np.testing.assert_array_equal(np.signbit(found), np.signbit([float(token) for token in tokens]))
    odd = ["5.", ".5", "-.25", "+7", "00012.50", "12345678.12345678", "99999999.99999999", "123456789012", "1e3", "-0"]
    odd = odd * 20 + ["1"] * 400
    np.testing.assert_array_equal(_parse(" ".join(odd).encode()), [float(token) for token in odd])


@pytest.mark.parametrize(
    "token", ["1.2.3", "1-2", "--1", "+-1", ".", "-", "+", "1e", "1a", "a1", "1,5", "0x1", "1:2", "1/2"]
)
def test_what_is_no_number(token):
    text = f"1.5 2.5\n3.5 {token}\n4.5 5.5\n".encode()
    with pytest.raises(MotionFileError, match=re.escape(f"line 8: {token!r}")):
        parse_numbers(text, 6, "file", 7)


# --------------------------------------------------------------------------------------------------------------------
# Real files


@pytest.mark.skipif(not RAW.exists(), reason="needs the shared mocap files")
@pytest.mark.parametrize(
    ("file", "pack", "start"),
    [("bandai_dataset-1_walk_giant_001", "bandai", 0), ("cmu_13_13", "cmu_daz", 1), ("cmu_14_04", "cmu_daz", 1)],
)
def test_real_files_agree_with_the_packed_sets(file, pack, start):
    import json

    motion = load_motion(RAW / f"{file}.bvh")
    folder = SHARED / "mocap" / pack
    ids = [json.loads(line)["id"] for line in (folder / "clips.jsonl").read_text().splitlines()]
    skeleton = json.loads((folder / "skeleton.json").read_text())
    with np.load(folder / "joints.npz") as packed:
        index = ids.index(file.removeprefix("bandai_"))
        first, last = packed["offsets"][index : index + 2]
        truth = packed["joints"][first:last].astype(float) * float(packed["scale"])
    joints = motion.joints[start:, [motion.skeleton.joints.index(name) for name in skeleton["joints"]]].astype(float)
    time = np.minimum(np.arange(len(truth)) / 20 * motion.fps, len(joints) - 1)
    low = np.floor(time).astype(int)
    weight = (time - low)[:, None, None]
    joints = joints[low] * (1 - weight) + joints[np.minimum(low + 1, len(joints) - 1)] * weight
    scale = (joints * truth).sum() / (joints * joints).sum()
    assert scale == pytest.approx(1.0, abs=0.015)  # cmu_daz was scaled to a leg of 0.83 m
    assert np.abs(scale * joints - truth).max() < 1e-3


@pytest.mark.skipif(not RAW.exists(), reason="needs the shared mocap files")
def test_real_files_are_people(capsys):
    for file in sorted(RAW.glob("*.bvh")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            motion = load_motion(file)
        height = np.ptp(motion.joints[..., 1], axis=1)
        assert 1.2 < np.median(height) < 2.0, file.name
        assert motion.fps == (30 if "bandai" in file.name else 120)
        assert all(motion.skeleton.chains.values()), file.name
        assert any("T or rest pose" in note for note in motion.notes) == file.name.startswith("cmu"), file.name


def test_pipes_folders_and_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.bvh: no such file"):
        load_motion(tmp_path / "nothing.bvh")
    with pytest.raises(MotionFileError, match="is a folder"):
        load_motion(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.bvh")
        with pytest.raises(MotionFileError, match="regular file"):
            load_motion(tmp_path / "pipe.bvh")
