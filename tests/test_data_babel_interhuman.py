"""BABEL (annotations with joints, and the benchmark's features) and InterHuman -> rows."""

import json
import os
import pickle

import numpy as np
import pytest
from fixtures_data import moving_person, write_babel, write_babel_features, write_interhuman

from modeling_motionpatch.data import MotionDataError, babel_classes, load_motion_dataset
from modeling_motionpatch.data.babel_features import read_labels
from modeling_motionpatch.data.interhuman import z_up_to_y_up
from modeling_motionpatch.skeletons_motionpatch import get_skeleton, lateral_axis


@pytest.fixture(scope="module")
def babel(tmp_path_factory):
    return write_babel(tmp_path_factory.mktemp("babel") / "babel")


@pytest.fixture
def load(tmp_path):
    def load(name, folder, **kwargs):
        return load_motion_dataset(name, folder, cache_dir=tmp_path / "cache", progress=False, **kwargs)

    return load


def test_babel_chunks_labels_and_axes(babel, load):
    data = load("babel", babel)
    rows = {row["id"]: row for row in data["train"]}
    assert len(rows) == len(data["train"])
    # 6 s of walking are chunks of 5 s and 1 s; each is a sample of both of its categories.
    assert [row_id for row_id in rows if row_id.startswith("1000/")] == [
        "1000/0/0/walk",
        "1000/0/0/forwards movement",
        "1000/0/1/walk",
        "1000/0/1/forwards movement",
        "1000/2/0/kick",
    ]
    expected = moving_person("walks forward", 180, 30.0, seed=0)  # Y up, as before the file was written Z up
    np.testing.assert_allclose(rows["1000/0/0/walk"]["motion"], expected[:150], atol=1e-6)
    np.testing.assert_allclose(rows["1000/0/1/walk"]["motion"], expected[150:], atol=1e-6)
    kick = rows["1000/2/0/kick"]
    assert (kick["label"], kick["labels"], kick["captions"]) == ("kick", ["kick"], ["kick with the right leg"])
    assert len(kick["motion"]) == int(8.0 * 30) - int(6.4 * 30) and kick["fps"] == 30.0
    # Without frame labels the whole sequence carries the sequence's label.
    assert [row_id for row_id in rows if row_id.startswith("1003/")] == ["1003/0/0/walk", "1003/0/1/walk"]
    assert any(row_id.startswith("1001/") for row_id in rows)  # a part of AMASS under its newer name
    assert len(data["validation"]) == len(data["train"])


def test_babel_reports_what_it_leaves_out(babel, load):
    report = load("babel", babel).skip_report
    assert report.counts == {
        "span out of scope of the classes": 8,
        "missing joint file": 1,
        "span without a category": 1,
        "empty span": 1,
        "unreadable joint file": 1,
        "broken annotation": 1,
    }
    assert any("Z up" in note for note in report.notes)


def test_babel_options(babel, load):
    one = load("babel", babel, per_label=False, chunk_seconds=None, splits="val")["validation"]
    assert [len(row["motion"]) for row in one][:2] == [180, 48]
    assert one[0]["labels"] == ["walk", "forwards movement"] and one[0]["label"] == "walk"
    few = load("babel", babel, num_classes=1, splits="val")
    assert set(few["validation"]["label"]) == {"walk"}
    flat = load("babel", babel, up="y", max_items=1)["train"][0]["motion"]  # taken as it is in the file
    assert np.ptp(flat[0, :, 2]) > 1.5 > np.ptp(flat[0, :, 1])
    for wrong in ({"num_classes": 0}, {"up": "w"}, {"chunk_seconds": 0}, {"fps": -1}, {"splits": "test"}):
        with pytest.raises(MotionDataError):
            load("babel", babel, **wrong)


def test_babel_undecided_axis_is_asked_for(tmp_path, load):
    folder = write_babel(tmp_path / "babel", num_sequences=2, defects=False)
    for path in sorted((folder / "joints").rglob("*.npz"))[::2]:  # half of the files Y up
        with np.load(path) as content:
            joints = z_up_to_y_up(content["joints"])
        np.savez(path, joints=joints, fps=30.0)
    with pytest.raises(MotionDataError, match="up="):
        load("babel", folder)


def test_babel_classes(tmp_path):
    classes = babel_classes(60)
    assert len(classes) == 60 and len(set(babel_classes(150))) == 150
    assert classes[:3] == ("walk", "stand", "hand movements") and classes[-1] == "grab person / body part"
    assert "transition" not in babel_classes(150)
    path = tmp_path / "action_label_2_idx.json"
    path.write_text(json.dumps({"b": 1, "a": 0}))
    assert babel_classes(2, path) == ("a", "b")
    path.write_text(json.dumps({"b": 1, "a": 5}))
    with pytest.raises(MotionDataError):
        babel_classes(2, path)


def test_babel_features(tmp_path, load):
    folder = write_babel_features(tmp_path / "features")
    data = load("babel", folder)
    train = data["train"]
    assert train["label"] == list(babel_classes(60)[:5])
    skeleton = get_skeleton(train[0]["skeleton"])
    motion = train[2]["motion"]
    assert motion.shape == (150, 25, 3) and train[2]["id"] == "2/seg-2/0/hand movements"
    expected = moving_person("bows", 150, 30.0, "ntu25", seed=2)
    np.testing.assert_allclose(motion, expected - expected[:, 1:2], atol=1e-6)
    assert lateral_axis(motion, skeleton)[0].argmax() == 0  # left is +X: the person faces +Z

    labels = pickle.loads((folder / "val_label_60.pkl").read_bytes())
    as_json = [
        list(map(str, labels[0])),
        [[int(v) for v in labels[1][0]], [str(s) for s in labels[1][1]], labels[1][2], []],
    ]
    (folder / "val_label_60.json").write_text(json.dumps(as_json))
    assert load("babel", folder)["validation"]["id"] == data["validation"]["id"]


class _RunsCode:
    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_label_pickles_cannot_run_code(tmp_path, protocol):
    bomb = _RunsCode()
    bomb.target = str(tmp_path / "ran")
    path = tmp_path / "val_label_60.pkl"
    path.write_bytes(pickle.dumps((["a"], ([1], [bomb], [0], [0])), protocol=protocol))
    with pytest.raises(MotionDataError, match="mkdir"):
        read_labels(path)
    assert not (tmp_path / "ran").exists()
    good = (list(np.array(["seg", "other"])), (list(np.arange(2)), [np.int32(7), 8], [0, 1], ["x", "y"]))
    path.write_bytes(pickle.dumps(good, protocol=protocol))
    assert read_labels(path) == (["seg", "other"], [0, 1], ["7", "8"], [0, 1])
    for content in (b"", b"\x80\x04noise", pickle.dumps({"a": 1}), pickle.dumps((["a"], ([1, 2], [3], [0], [0])))):
        path.write_bytes(content)
        with pytest.raises(MotionDataError, match="val_label_60"):
            read_labels(path)


def test_interhuman_two_persons_in_one_world(tmp_path, load):
    folder = write_interhuman(tmp_path / "interhuman")
    data = load("interhuman", folder)
    assert {split: rows["id"] for split, rows in data.items()} == {
        "train": ["1", "2", "3"],
        "validation": ["4", "5", "6"],
        "test": ["7", "8", "9"],
    }
    row = data["train"][0]
    assert row["motion"].shape == (61, 2, 22, 3) and row["fps"] == 30.0
    assert row["captions"] == [
        "One person waves the left hand while the other bows.",
        "a person waves the left hand, the other bows",
        "they meet",
    ]
    expected = moving_person("waves the left hand", 61, 30.0, seed=1)
    np.testing.assert_allclose(row["motion"][:, 0], expected, atol=1e-6)
    distance = row["motion"][0, 1, 0] - row["motion"][0, 0, 0]
    np.testing.assert_allclose(distance, [0, 0, 1.5], atol=0.02)
    # They face each other: left of the one is right of the other.
    left = [lateral_axis(row["motion"][:, person], get_skeleton("smpl22"))[0, 0] for person in (0, 1)]
    assert left[0] > 0 > left[1]
    assert data.skip_report.counts == {
        "missing motion file": 1,
        "NaN or infinite joints": 1,
        "persons of different lengths": 1,
        "no caption": 1,
        "missing text file": 1,
        "in ignore_list.txt": 1,
    }
    assert len(load("interhuman", folder, splits="test", max_items=2)["test"]) == 2


def test_interhuman_with_pickles_only_is_refused(tmp_path, load):
    folder = write_interhuman(tmp_path / "interhuman")
    (folder / "motions_processed").rename(folder / "elsewhere")
    with pytest.raises(MotionDataError, match="pickle"):
        load("interhuman", folder)


def test_z_up_to_y_up_is_a_rotation():
    matrix = z_up_to_y_up(np.eye(3)).T
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3))
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_array_equal(z_up_to_y_up(np.array([0, 0, 1])), [0, 1, 0])
