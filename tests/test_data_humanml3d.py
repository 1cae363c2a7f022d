"""HumanML3D and KIT-ML folders -> rows, against a second, naive reading of the same files."""

import logging
import math
import re
from pathlib import Path

import numpy as np
import pytest
from fixtures_data import moving_person, write_humanml3d, write_kitml

from modeling_motionpatch.data import MotionDataError, load_motion_dataset
from modeling_motionpatch.data.humanml3d import body_size, parse_caption_line
from modeling_motionpatch.skeletons_motionpatch import get_skeleton


SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="module")
def humanml3d(tmp_path_factory):
    return write_humanml3d(tmp_path_factory.mktemp("humanml3d") / "HumanML3D")


@pytest.fixture
def load(tmp_path):
    def load(name, folder, **kwargs):
        return load_motion_dataset(name, folder, cache_dir=tmp_path / "cache", progress=False, **kwargs)

    return load


def naive_rows(folder: Path, split: str, fps: float) -> list[tuple]:
    """(id, first frame, last frame, captions) of the clips a person would call good, read line by line."""
    rows, done = [], set()
    for name in (folder / f"{split}.txt").read_text().split():
        path, text = folder / "new_joints" / f"{name}.npy", folder / "texts" / f"{name}.txt"
        if name in done or "/" in name or not path.exists() or not text.exists():
            continue
        done.add(name)
        try:
            joints = np.load(path)
        except (ValueError, EOFError):
            continue
        if joints.ndim != 3 or joints.shape[1] not in (21, 22) or np.isnan(joints).any():
            continue
        if joints.shape[1] != np.load(folder / "new_joints" / "000000.npy").shape[1]:
            continue
        spans = {}
        for line in text.read_bytes().decode("latin-1").splitlines():
            parts = line.split("#")
            if len(parts) < 4 or not parts[0].strip():
                continue
            start, end = (0.0 if math.isnan(float(value)) else float(value) for value in parts[-2:])
            spans.setdefault((start, end), []).append(re.match(r"(.*?)#\w+/NOUN", line)[1])
        for (start, end), captions in spans.items():
            whole = (start, end) == (0.0, 0.0)
            first, last = (0, len(joints)) if whole else (int(start * fps), min(int(end * fps), len(joints)))
            if last - first >= 2:
                rows.append((name, first, last, captions))
    return rows


@pytest.mark.parametrize("name, fps, write", [("humanml3d", 20.0, write_humanml3d), ("kitml", 12.5, write_kitml)])
def test_rows_agree_with_a_naive_reading(tmp_path, load, name, fps, write):
    folder = write(tmp_path / name)
    data = load(name, folder)
    assert list(data) == ["train", "validation", "test"]
    scale = np.float32(0.001 if name == "kitml" else 1.0)
    for split, file in (("train", "train"), ("validation", "val"), ("test", "test")):
        expected = naive_rows(folder, file, fps)
        assert len(data[split]) == len(expected)
        for row, (clip, first, last, captions) in zip(data[split], expected):
            joints = np.load(folder / "new_joints" / f"{clip}.npy")[first:last]
            assert row["id"].split("#")[0] == clip
            assert row["captions"] == captions
            assert row["motion"].dtype == np.float32
            np.testing.assert_array_equal(row["motion"], joints.astype(np.float32) * scale)
            assert row["fps"] == fps
            assert get_skeleton(row["skeleton"]).num_joints == joints.shape[1]


def test_subclips_nan_and_evaluation_rows(humanml3d, load):
    train = load("humanml3d", humanml3d)["train"]
    rows = {row["id"]: row for row in train}
    assert len(rows) == len(train)  # ids are unique
    assert rows["000000"]["captions"] == ["a person walks forward.", "someone walks forward"]
    sub = rows["000000#1-2"]
    np.testing.assert_array_equal(sub["motion"], rows["000000"]["motion"][20:40])
    assert sub["captions"] == ["the man walks forward briefly"]
    assert rows["000001"]["captions"][0] == "a person waves the left hand."  # nan tags: the whole clip
    assert rows["000900#0.5-1.5"]["captions"] == ["person #1 bows"]
    assert rows["000000"]["evaluation"] and not sub["evaluation"] and rows["000900#0.5-1.5"]["evaluation"]
    assert {row["id"] for row in train if row["mirrored"]} == {"M000002", "M000005"}


def test_evaluation_rows_first_keeps_the_clip_of_the_first_caption(tmp_path, load):
    folder = write_humanml3d(tmp_path / "data", clips_per_split=2, defects=False)
    for name in ("000004", "000005"):  # both in test.txt
        text = folder / "texts" / f"{name}.txt"
        sub = "a part#a/DET#0.5#1.5\n"
        text.write_text(sub + text.read_text() if name == "000004" else text.read_text() + sub)
    every = load("humanml3d", folder)["test"]
    assert every["id"] == ["000004#0.5-1.5", "000004", "000005", "000005#0.5-1.5"]
    assert every["evaluation"] == [True, False, True, False]
    first = load("humanml3d", folder, evaluation_rows="first")
    assert first["test"]["id"] == ["000004#0.5-1.5", "000005"]
    assert "000000#1-2" in first["train"]["id"]  # training keeps all


def test_defects_are_counted_reported_and_never_silent(humanml3d, load, caplog):
    with caplog.at_level(logging.WARNING):
        report = load("humanml3d", humanml3d).skip_report
    assert report.counts == {
        "empty sub-clip": 2,
        "wrong shape": 2,
        "missing motion file": 1,
        "empty caption": 1,
        "broken caption line": 1,
        "NaN or infinite joints": 1,
        "no caption": 1,
        "missing text file": 1,
        "unreadable motion file": 1,
        "listed twice": 1,
        "id that is no file name": 1,
    }
    assert {"split": "train", "item": "000903", "kind": "NaN or infinite joints", "detail": "in 1 of 60 frames"} in (
        report.skipped
    )
    summaries = [record for record in caplog.records if "left out" in record.getMessage()]
    assert len(summaries) == 1 and "13 left out" in summaries[0].getMessage()


def test_options(humanml3d, load):
    data = load("humanml3d", humanml3d, splits=["val"], max_items=2)
    assert {split: len(rows) for split, rows in data.items()} == {"validation": 2}
    train = load("humanml3d", humanml3d, splits="train", include_mirrored=False)
    assert not any(train["train"]["mirrored"])
    assert train.skip_report.counts["mirrored (include_mirrored=False)"] == 2
    for wrong in ({"splits": "dev2"}, {"max_items": 0}, {"evaluation_rows": "last"}, {"units": "inch"}, {"mirror": 1}):
        with pytest.raises(MotionDataError):
            load("humanml3d", humanml3d, **wrong)


def test_units_are_measured_and_can_be_kept(tmp_path, load):
    folder = write_kitml(tmp_path / "kit", clips_per_split=1, defects=False)
    raw = np.load(folder / "new_joints" / "000000.npy")
    measured, kept = load("kitml", folder), load("kitml", folder, units="keep")
    np.testing.assert_array_equal(kept["train"][0]["motion"], raw.astype(np.float32))
    np.testing.assert_allclose(measured["train"][0]["motion"], raw / 1000, rtol=1e-6)
    assert "millimetre" not in measured.skip_report.notes and "in mm" in measured.skip_report.notes[0]
    assert 1.2 < body_size(moving_person("bows", 3), get_skeleton("smpl22")) < 1.8


@pytest.mark.parametrize(
    "line, expected",
    [
        ("a man runs#a/DET man/NOUN#0.0#0.0", ("a man runs", 0.0, 0.0)),
        ("a man runs.#x#nan#nan\r\n", ("a man runs.", 0.0, 0.0)),
        ("a#b#c/NOUN#1.5#3", ("a#b", 1.5, 3.0)),
        ("man #1 runs#man/NOUN #1/NUM run/VERB#0#0", ("man #1 runs", 0.0, 0.0)),
        ("a man runs#no tags#0#0", ("a man runs", 0.0, 0.0)),
        ("a man runs##1#2", ("a man runs", 1.0, 2.0)),
    ],
)
def test_caption_line(line, expected):
    assert parse_caption_line(line) == expected


@pytest.mark.parametrize("line", ["", "a man runs", "a#b#c", "#x#0#0", "a#x#one#2", "a#x#-1#2", "a#x#0#inf"])
def test_broken_caption_line(line):
    with pytest.raises(ValueError):
        parse_caption_line(line)


def test_folder_in_another_form_is_refused(tmp_path, load):
    with pytest.raises(MotionDataError, match="new_joints"):
        load("humanml3d", tmp_path)
    with pytest.raises(MotionDataError, match="data_dir"):
        load("humanml3d", None)
    folder = write_humanml3d(tmp_path / "data", clips_per_split=1, defects=False)
    for path in (folder / "new_joints").iterdir():
        path.unlink()
    with pytest.raises(MotionDataError, match="3 missing motion file"):
        load("humanml3d", folder)


@pytest.mark.skipif(not (SHARED / "golden" / "humanml3d_sample").is_dir(), reason="the real clip is absent")
def test_a_real_clip(tmp_path, load):
    folder = write_humanml3d(tmp_path / "data", clips_per_split=1, defects=False)
    joints = np.load(SHARED / "golden" / "humanml3d_sample" / "new_joints_012314.npy")
    np.save(folder / "new_joints" / "000000.npy", joints)
    data = load("humanml3d", folder)
    np.testing.assert_array_equal(data["train"][0]["motion"], joints.astype(np.float32))
    assert data["train"][0]["motion"].shape == (170, 22, 3) and not data.skip_report.notes


def test_files_as_editors_leave_them(tmp_path, load):
    """Byte order mark, CRLF, no last newline, Windows' Latin-1, white space and blank lines in lists, float64."""
    folder = write_humanml3d(tmp_path / "HumanML3D", clips_per_split=3, defects=False)
    texts = {
        "AB0001": b"\xef\xbb\xbfa person bows#a/DET#0.0#0.0\r\nhe bows#he/PRON#0.0#0.0",
        "AB0002": b"a person bows \x85 twice#a/DET#0.0#0.0\n",
        "AB0003": "a person\u2028bows at caf\u00e9 #2#a/DET#0.0#0.0\n".encode(),
    }
    for name, text in texts.items():
        np.save(folder / "new_joints" / f"{name}.npy", moving_person("bows", 60).astype(np.float64))
        (folder / "texts" / f"{name}.txt").write_bytes(text)
    (folder / "train.txt").write_bytes(b"\xef\xbb\xbfAB0001 \r\n\r\n\tAB0002\r\nAB0003\r\nAB0001")
    data = load("humanml3d", folder, splits="train")
    rows = {row["id"]: row for row in data["train"]}
    assert rows["AB0001"]["captions"] == ["a person bows", "he bows"]
    assert rows["AB0002"]["captions"] == ["a person bows \u2026 twice"]
    assert rows["AB0003"]["captions"] == ["a person\u2028bows at caf\u00e9 #2"]
    assert all(row["motion"].shape == (60, 22, 3) and row["motion"].dtype == np.float32 for row in rows.values())
    assert data.skip_report.counts == {"listed twice": 1}
