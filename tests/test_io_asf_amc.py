"""ASF + AMC: forward kinematics against scipy, the layouts in circulation, and malformed files."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from modeling_motionpatch.io import MotionFileError, MotionFileWarning, load_motion


SHARED = Path(__file__).resolve().parents[1].parent / "shared"
RAW = SHARED / "mocap" / "raw"

# name, parent, direction, length (units of 1/0.45 inch), axis in degrees with its order, dof
BONES = [
    ("lhipjoint", "root", (0.6, -0.7, 0.3), 2.5, (0, 0, 0), "XYZ", ""),
    ("lfemur", "lhipjoint", (0.34, -0.94, 0), 7.4, (0, 0, 20), "XYZ", "rx ry rz"),
    ("ltibia", "lfemur", (0.34, -0.94, 0), 7.3, (0, 0, 20), "XYZ", "rx"),
    ("lfoot", "ltibia", (0.09, -0.24, 0.97), 2.3, (-90, 10, 20), "ZXY", "rx rz"),
    ("rhipjoint", "root", (-0.6, -0.7, 0.3), 2.5, (0, 0, 0), "XYZ", ""),
    ("rfemur", "rhipjoint", (-0.34, -0.94, 0), 7.4, (0, 0, -20), "XYZ", "rx ry rz"),
    ("rtibia", "rfemur", (-0.34, -0.94, 0), 7.3, (0, 0, -20), "XYZ", "rx"),
    ("rfoot", "rtibia", (-0.09, -0.24, 0.97), 2.3, (-90, 0, -20), "YZX", "rx rz"),
    ("lowerback", "root", (0, 1, 0), 2.0, (0, 0, 0), "XYZ", "rz ry rx"),
    ("upperback", "lowerback", (0, 1, 0), 4.0, (5, 0, 0), "XYZ", "rx ry rz"),
    ("head", "upperback", (0, 1, 0.1), 4.0, (0, 0, 0), "XYZ", "rx ry rz"),
    ("lhumerus", "upperback", (1, 0, 0), 5.0, (180, 30, 90), "XYZ", "rx ry rz"),
    ("lradius", "lhumerus", (1, 0, 0), 4.0, (180, 30, 90), "XYZ", "rx"),
    ("lwrist", "lradius", (1, 0, 0), 1.0, (0, 0, 90), "XYZ", "ry"),
    ("rhumerus", "upperback", (-1, 0, 0), 5.0, (180, -30, -90), "XYZ", "rx ry rz"),
    ("rradius", "rhumerus", (-1, 0, 0), 4.0, (180, -30, -90), "XYZ", "rx"),
    ("rwrist", "rradius", (-1, 0, 0), 1.0, (0, 0, -90), "XYZ", "ry"),
]  # fmt: skip
MOVING = [bone for bone in BONES if bone[6]]
UNIT = 0.0254 / 0.45


def write_asf(length="0.45", angle="deg", scale=1.0, orientation="0 0 0"):
    factor = np.pi / 180 if angle == "rad" else 1.0
    lines = [
        "# made up",
        ":version 1.10",
        ":name BODY",
        ":units",
        "  mass 1.0",
        f"  length {length}",
        f"  angle {angle}",
    ]
    lines += [":documentation", "   made up for a test", ":root", "   order TX TY TZ RX RY RZ", "   axis XYZ"]
    lines += ["   position 0 0 0", f"   orientation {orientation}", ":bonedata"]
    for number, (name, _, direction, bone_length, axis, order, dof) in enumerate(BONES, start=1):
        lines += ["  begin", f"     id {number}", f"     name {name}"]
        lines += [f"     direction {' '.join(map(str, direction))}", f"     length {bone_length * scale}"]
        lines += [f"     axis {' '.join(repr(a * factor) for a in axis)}  {order}"]
        if dof:
            lines += [f"    dof {dof}", "    limits (-160.0 20.0)"]
            lines += ["           (-70.0 70.0)"] * (len(dof.split()) - 1)
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for parent in ("root", *(bone[0] for bone in BONES)):
        children = [bone[0] for bone in BONES if bone[1] == parent]
        if children:
            lines.append(f"    {parent} {' '.join(children)}")
    return "\n".join([*lines, "  end", ""])


def angles(num_frames, seed=0):
    """Per frame: root translation and rotation, then the bones' values in degrees."""
    rng = np.random.default_rng(seed)
    width = 6 + sum(len(bone[6].split()) for bone in BONES)
    time = np.arange(num_frames)[:, None] / 30
    values = 20 * np.sin(time * rng.uniform(0.5, 3, width) + rng.uniform(0, 6, width))
    values[:, :3] = values[:, :3] * 0.1 + [0, 17, 0]
    return values.round(6)


def write_amc(values, header="#!OML:ASF made up\n:FULLY-SPECIFIED\n:DEGREES\n", fmt="{:.6f}", first=1):
    lines = []
    for frame, row in enumerate(values, start=first):
        lines += [str(frame), "root " + " ".join(fmt.format(v) for v in row[:6])]
        place = 6
        for bone in MOVING:
            width = len(bone[6].split())
            lines.append(f"{bone[0]} " + " ".join(fmt.format(v) for v in row[place : place + width]))
            place += width
    return header + "\n".join(lines) + "\n"


def reference(values, orientation=(0, 0, 0)):
    """Positions in metres by scipy, a frame and a bone at a time: lower-case Euler letters turn about fixed axes."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    out = np.zeros((len(values), 1 + len(BONES), 3))
    names = ["root", *(bone[0] for bone in BONES)]
    for frame, row in enumerate(values):
        frame_of_root = rotation.from_euler("xyz", orientation, degrees=True)
        turn = rotation.from_euler("xyz", row[3:6], degrees=True)
        world = {"root": frame_of_root * turn * frame_of_root.inv()}
        out[frame, 0] = row[:3]
        place = 6
        for index, (name, parent, direction, length, axis, order, dof) in enumerate(BONES, start=1):
            letters = "".join(word[1] for word in dof.split())
            by_letter = dict(zip("XYZ", axis))
            c = rotation.from_euler(order.lower(), [by_letter[letter] for letter in order], degrees=True)
            m = rotation.from_euler(letters, row[place : place + len(letters)], degrees=True) if dof else None
            place += len(letters)
            world[name] = world[parent] * c * (m if m is not None else rotation.identity()) * c.inv()
            tip = np.array(direction) * length
            out[frame, index] = out[frame, names.index(parent)] + world[name].apply(tip)
    return out * UNIT


def load(tmp_path, amc, asf=None, name="07_01.amc", **kwargs):
    (tmp_path / "07.asf").write_bytes((write_asf() if asf is None else asf).encode("latin-1"))
    path = tmp_path / name
    path.write_bytes(amc if isinstance(amc, bytes) else amc.encode("latin-1"))
    return load_motion(path, **kwargs)


def by_name(motion):
    """Joints in the order of `reference`."""
    return motion.joints[:, [motion.skeleton.joints.index(name) for name in ["root", *(bone[0] for bone in BONES)]]]


# --------------------------------------------------------------------------------------------------------------------


def test_forward_kinematics_against_scipy(tmp_path):
    values = angles(6)
    motion = load(tmp_path, write_amc(values))
    np.testing.assert_allclose(by_name(motion), reference(values), atol=2e-6)
    assert motion.fps == 120.0 and motion.joints.dtype == np.float32
    assert any("120" in note for note in motion.notes) and any("0.05644" in note for note in motion.notes)
    assert all(motion.skeleton.chains.values())
    assert load(tmp_path, write_amc(values), fps=60).fps == 60.0


def test_root_orientation(tmp_path):
    values = angles(4)
    motion = load(tmp_path, write_amc(values), write_asf(orientation="10 20 30"))
    np.testing.assert_allclose(by_name(motion), reference(values, (10, 20, 30)), atol=2e-6)


def test_radians(tmp_path):
    values = angles(4)
    truth = by_name(load(tmp_path, write_amc(values)))
    radians = values.copy()
    radians[:, 3:] = np.deg2rad(radians[:, 3:])
    for header in (":FULLY-SPECIFIED\n", ":FULLY-SPECIFIED\n:RADIANS\n"):
        text = write_amc(radians, header=header, fmt="{:.9f}")
        found = by_name(load(tmp_path, text, write_asf(angle="rad"), up="y"))
        np.testing.assert_allclose(found, truth, atol=1e-5)


def test_units_without_the_cmu_factor_are_guessed(tmp_path):
    values = angles(4)
    truth = by_name(load(tmp_path, write_amc(values)))
    centimetres = values.copy()
    centimetres[:, :3] *= 100 * UNIT
    found = load(tmp_path, write_amc(centimetres), write_asf(length="1.0", scale=100 * UNIT))
    np.testing.assert_allclose(by_name(found), truth, atol=1e-4)
    assert any("units guessed as cm" in note for note in found.notes)
    doubled = load(tmp_path, write_amc(values), units=2 * UNIT)
    np.testing.assert_allclose(by_name(doubled), 2 * truth, rtol=1e-5)


LAYOUTS = {
    "crlf": lambda t: t.replace("\n", "\r\n"),
    "tabs": lambda t: t.replace(" ", "\t"),
    "indented": lambda t: t.replace("\n", "\n  "),
    "trailing blanks": lambda t: t.replace("\n", " \n"),
    "blank lines": lambda t: t.replace("\n", "\n\n"),
    "no final line end": lambda t: t.rstrip(),
    "comments": lambda t: "# a\n#b\n" + t,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_change_nothing(tmp_path, name):
    values = angles(5)
    truth = load(tmp_path, write_amc(values)).joints
    np.testing.assert_array_equal(load(tmp_path, LAYOUTS[name](write_amc(values))).joints, truth)
    asf = LAYOUTS[name](write_asf())
    np.testing.assert_array_equal(load(tmp_path, write_amc(values), asf).joints, truth)


def test_exponents_gaps_and_other_first_numbers(tmp_path):
    values = angles(5)
    truth = load(tmp_path, write_amc(values)).joints
    np.testing.assert_allclose(load(tmp_path, write_amc(values, fmt="{:.9e}")).joints, truth, atol=1e-6)
    np.testing.assert_array_equal(load(tmp_path, write_amc(values, first=100)).joints, truth)
    with pytest.warns(MotionFileWarning, match="gaps in the frame numbers"):
        found = load(tmp_path, write_amc(values).replace("\n5\nroot", "\n9\nroot"))
    np.testing.assert_array_equal(found.joints, truth)


def test_bones_in_another_order_and_missing_ones(tmp_path):
    values = angles(3)
    truth = by_name(load(tmp_path, write_amc(values)))
    lines = write_amc(values).splitlines()
    per_frame = 2 + len(MOVING)
    shuffled = lines[:3]
    for first in range(3, len(lines), per_frame):
        shuffled += [lines[first], *reversed(lines[first + 1 : first + per_frame])]
    np.testing.assert_array_equal(by_name(load(tmp_path, "\n".join(shuffled))), truth)
    without = "\n".join(line for line in lines if not line.startswith("lwrist"))
    zeroed = "\n".join("lwrist 0" if line.startswith("lwrist") else line for line in lines)
    with pytest.warns(MotionFileWarning, match="no values for lwrist"):
        found = by_name(load(tmp_path, without))
    np.testing.assert_array_equal(found, by_name(load(tmp_path, zeroed)))


def test_which_asf(tmp_path):
    text = write_amc(angles(3))
    truth = load(tmp_path, text).joints
    (tmp_path / "08.asf").write_text("broken")
    np.testing.assert_array_equal(load(tmp_path, text).joints, truth)  # 07.asf by its name
    (tmp_path / "07.asf").rename(tmp_path / "other.ASF")
    path = tmp_path / "07_01.amc"
    with pytest.raises(FileNotFoundError, match="none of 08.asf, other.ASF"):
        load_motion(path)
    np.testing.assert_array_equal(load_motion(path, asf=tmp_path / "other.ASF").joints, truth)
    (tmp_path / "08.asf").unlink()
    np.testing.assert_array_equal(load_motion(path).joints, truth)  # the only one
    (tmp_path / "other.ASF").unlink()
    with pytest.raises(MotionFileError, match="07_01.amc.*none beside it.*asf="):
        load_motion(path)
    with pytest.raises(FileNotFoundError, match="gone.asf"):
        load_motion(path, asf=tmp_path / "gone.asf")


def test_an_asf_is_no_motion(tmp_path):
    (tmp_path / "07.asf").write_text(write_asf())
    with pytest.raises(MotionFileError, match="skeleton without motion"):
        load_motion(tmp_path / "07.asf")


def test_cut_anywhere_reads_whole_frames_or_says_why(tmp_path):
    data = write_amc(angles(5)).encode()
    whole = load(tmp_path, data).joints
    frames = []
    for cut in range(0, len(data) - 1, 37):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotionFileWarning)
            try:
                motion = load(tmp_path, data[:cut])
            except MotionFileError as error:
                assert "07_01.amc" in str(error)
                continue
        good = motion.num_frames - 1  # its last number may be cut, which cannot be told
        np.testing.assert_array_equal(motion.joints[:good], whole[:good])
        frames.append(motion.num_frames)
    assert frames == sorted(frames) and len(set(frames)) >= 4


AMC = {
    "empty": (lambda t: "", "empty"),
    "blanks": (lambda t: "\n \n", "no frame"),
    "header only": (lambda t: ":FULLY-SPECIFIED\n:DEGREES\n", "no frame"),
    "noise": (lambda t: np.random.default_rng(0).bytes(4000), "line"),
    "noise after header": (lambda t: b":DEGREES\n" + np.random.default_rng(1).bytes(4000), "line"),
    "no frame number": (lambda t: t.replace("\n1\nroot", "\nroot"), "number of the first frame"),
    "negative frame": (lambda t: t.replace("\n1\nroot", "\n-1\nroot"), "'-1' where the number of the first frame"),
    "fraction frame": (lambda t: t.replace("\n2\nroot", "\n2.5\nroot"), r"line \d+.*'2.5'"),
    "frame twice": (lambda t: t.replace("\n3\nroot", "\n2\nroot"), "frame 2 follows frame 2"),
    "frames backwards": (lambda t: t.replace("\n3\nroot", "\n1\nroot"), "frame 1 follows frame 2"),
    "frame word": (lambda t: t.replace("\n3\nroot", "\nthree\nroot"), r"line \d+: 'three'"),
    "frame number missing": (lambda t: t.replace("\n3\nroot", "\nroot"), r"line \d+: 'root'"),
    "unknown bone": (lambda t: t.replace("lfemur", "lfemurr"), "'lfemurr' is no bone"),
    "unknown bone later": (lambda t: t[:900] + t[900:].replace("lfemur", "wing", 1), r"line \d+: 'wing'"),
    "bone twice": (lambda t: t.replace("ltibia", "lfemur 1 2 3\nltibia", 1), "'lfemur' occurs twice"),
    "bone missing later": (lambda t: t[:900] + t[900:].replace("lfemur", "#", 1), r"line \d+"),
    "too few values": (lambda t: t.replace("lfoot ", "lfoot\nx ", 1), "'lfoot' has 0 values"),
    "too many values": (lambda t: t.replace("ltibia ", "ltibia 1 ", 1), "'ltibia' has 2 values"),
    "too many later": (lambda t: t[:900] + t[900:].replace("ltibia ", "ltibia 1 ", 1), "'ltibia' has 2 values"),
    "word value": (lambda t: t.replace("ltibia ", "ltibia x", 1), r"line \d+: 'x"),
    "nan value": (lambda t: t.replace("root ", "root nan ", 1).replace(" ", "  ", 1), "'root' has 7 values"),
    "nan": (lambda t: _first_value(t, "nan"), r"line 5: 'nan'"),
    "inf": (lambda t: _first_value(t, "inf"), r"line 5: 'inf'"),
    "beyond float": (lambda t: _first_value(t, "1e999"), r"line 5: '1e999'"),
    "far away": (lambda t: _first_value(t, "1e12"), "frame 0"),
    "two points": (lambda t: _first_value(t, "1.2.3"), r"line 5: '1.2.3'"),
    "decimal comma": (lambda t: _first_value(t, "1,5"), "commas"),
    "only one half frame": (lambda t: "\n".join(t.splitlines()[:8]), "cut off"),
    "only a frame number": (lambda t: "\n".join(t.splitlines()[:4]), "no bones"),
    "endless line": (lambda t: t + "root" + " 0" * 1_000_000, "line"),
    "control characters": (lambda t: t.replace("ltibia ", "ltibia \x01", 1), "line"),
}


def _first_value(text, value):
    head, rest = text.split("root ", 1)
    return head + f"root {value} " + rest.split(" ", 1)[1]


@pytest.mark.parametrize("name", AMC)
def test_malformed_amc(tmp_path, name):
    change, message = AMC[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotionFileWarning)
        with pytest.raises(MotionFileError, match=message) as caught:
            load(tmp_path, change(write_amc(angles(4))))
    assert "07_01.amc" in str(caught.value)


ASF = {
    "empty": (lambda t: "", "no :root"),
    "noise": (lambda t: np.random.default_rng(0).bytes(4000).decode("latin-1"), "line|:root"),
    "no root": (lambda t: t.replace(":root", ":rot"), "no :root"),
    "no order": (lambda t: t.replace("order TX", "odor TX"), "no `order`"),
    "bad order": (lambda t: t.replace("order TX", "order WX"), "'wx'"),
    "order twice": (lambda t: t.replace("order TX TY", "order TX TX"), "named twice"),
    "no bones": (lambda t: t[: t.index(":bonedata")], "no bones"),
    "no hierarchy": (lambda t: t[: t.index(":hierarchy")], "not connected to the root"),
    "cut in a bone": (lambda t: t[: t.index("name lfoot")], "ends inside the bone"),
    "cut in the hierarchy": (lambda t: t[: t.index("lowerback upperback")], "ends inside the hierarchy"),
    "bone without end": (lambda t: t.replace("  end\n  begin", "  begin", 1), "no `end`"),
    "end before section": (lambda t: t.replace("  end\n:hierarchy", ":hierarchy"), "no `end`"),
    "bone outside": (lambda t: t.replace("  begin\n     id 1\n", "     id 1\n"), "outside of begin"),
    "name twice": (lambda t: t.replace("name rfemur", "name lfemur"), "'lfemur' was already defined in line"),
    "named root": (lambda t: t.replace("name rfemur", "name root"), "called `root`"),
    "no name": (lambda t: t.replace("     name rfemur\n", ""), "no name"),
    "no direction": (lambda t: t.replace("     direction 1 0 0\n", "", 1), "no direction"),
    "no length": (lambda t: t.replace("     length 7.4\n", "", 1), "no length"),
    "length word": (lambda t: t.replace("length 7.4", "length long", 1), "`length` needs 1 number"),
    "length nan": (lambda t: t.replace("length 7.4", "length nan", 1), "`length` needs 1 number"),
    "length infinite": (lambda t: t.replace("length 7.4", "length 1e999", 1), "not finite"),
    "direction short": (lambda t: t.replace("direction 1 0 0", "direction 1 0", 1), "`direction` needs 3"),
    "axis short": (lambda t: t.replace("axis 0.0 0.0 20.0", "axis 0.0 XYZ", 1), "`axis` needs 3"),
    "axis order": (lambda t: t.replace("0.0 20.0  XYZ", "0.0 20.0  XXZ", 1), "axis order 'XXZ'"),
    "dof unknown": (lambda t: t.replace("dof rx ry", "dof rx rw", 1), "'rw'"),
    "dof length": (lambda t: t.replace("dof rx ry", "dof l ry", 1), "'l'"),
    "dof twice": (lambda t: t.replace("dof rx ry", "dof rx rx", 1), "named twice"),
    "unit zero": (lambda t: t.replace("length 0.45", "length 0"), "above 0"),
    "unit word": (lambda t: t.replace("length 0.45", "length inch"), "`length` needs 1 number"),
    "angle unknown": (lambda t: t.replace("angle deg", "angle gon"), "deg or rad"),
    "child unknown": (lambda t: t.replace("lfemur ltibia", "lfemur wing"), "'wing'"),
    "parent unknown": (lambda t: t.replace("    lfemur ltibia", "    wing ltibia"), "'wing'"),
    "two parents": (lambda t: t.replace("rfemur rtibia", "rfemur rtibia ltibia"), "already has a parent"),
    "root as child": (lambda t: t.replace("rfemur rtibia", "rfemur rtibia root"), "'root' is the root"),
    "cycle": (
        lambda t: t.replace("lhipjoint lfemur", "lfoot lfemur"),
        "not connected to the root: lfemur, ltibia, lfoot",
    ),
    "own parent": (lambda t: t.replace("    lhipjoint lfemur", "    lfemur lfemur"), "not connected to the root"),
    "left out": (lambda t: t.replace("    rfemur rtibia\n", ""), "not connected to the root: rtibia"),
    "too many bones": (
        lambda t: t.replace(":hierarchy", "".join(
            f"begin\nname b{i}\ndirection 0 1 0\nlength 1\naxis 0 0 0 XYZ\nend\n" for i in range(1500)) + ":hierarchy"),
        "more than 1024 bones",
    ),
    "too many links": (lambda t: t.replace("lfemur ltibia", "lfemur" + " ltibia" * 3000), "more than 1024 bones"),
    "both sides": (lambda t: t.replace("lfemur", "left_right_femur"), "left and as right|no bone"),
    "an amc": (lambda t: write_amc(angles(2)), "no :root"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASF)
def test_malformed_asf(tmp_path, name):
    change, message = ASF[name]
    with pytest.raises(MotionFileError, match=message) as caught:
        load(tmp_path, write_amc(angles(2)), change(write_asf()))
    assert "07.asf" in str(caught.value) or "07_01.amc" in str(caught.value)


def test_random_damage_never_escapes_the_error(tmp_path):
    rng = np.random.default_rng(3)
    texts = [write_amc(angles(3)).encode(), write_asf().encode()]
    for trial in range(120):
        damaged = [bytearray(text) for text in texts]
        target = damaged[trial % 2]
        place = int(rng.integers(len(target)))
        if trial % 3 == 0:
            target[place] = int(rng.integers(256))
        elif trial % 3 == 1:
            del target[place : place + int(rng.integers(1, 40))]
        else:
            target[place:place] = rng.bytes(3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotionFileWarning)
            try:
                motion = load(tmp_path, bytes(damaged[0]), bytes(damaged[1]).decode("latin-1"))
            except MotionFileError:
                continue
        assert np.isfinite(motion.joints).all() and 1 <= motion.num_frames <= 3


@pytest.mark.skipif(not RAW.exists(), reason="needs the shared mocap files")
@pytest.mark.parametrize("file", ["HDM_bk_grabHighR_008_120", "HDM_bk_depositFloorR_007_120"])
def test_real_files_agree_with_the_packed_set(file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        motion = load_motion(RAW / f"{file}.amc")
    folder = SHARED / "mocap" / "hdm05"
    index = [json.loads(line)["id"] for line in (folder / "clips.jsonl").read_text().splitlines()].index(file)
    skeleton = json.loads((folder / "skeleton.json").read_text())
    with np.load(folder / "joints.npz") as packed:
        first, last = packed["offsets"][index : index + 2]
        truth = packed["joints"][first:last].astype(float) * float(packed["scale"])
    assert motion.skeleton.parents == tuple(
        motion.skeleton.joints.index(skeleton["joints"][p]) if p >= 0 else -1
        for p in (skeleton["parents"][skeleton["joints"].index(name)] for name in motion.skeleton.joints)
    )
    joints = motion.joints[::6, [motion.skeleton.joints.index(name) for name in skeleton["joints"]]]
    np.testing.assert_allclose(joints, truth, atol=5e-4)
