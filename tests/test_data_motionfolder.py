"""A folder of motion files with metadata -> rows; the rest of the folder survives a broken file."""

import csv
import json
import multiprocessing
import multiprocessing.dummy

import numpy as np
import pytest
from fixtures_data import moving_person, write_motion_npz, write_motionfolder

from modeling_motionpatch.data import MotionDataError, iter_motions, load_motion_dataset
from modeling_motionpatch.data.metadata import read_metadata
from modeling_motionpatch.skeletons_motionpatch import get_skeleton


@pytest.fixture
def load(tmp_path):
    def load(folder, **kwargs):
        return load_motion_dataset("motionfolder", folder, cache_dir=tmp_path / "cache", progress=False, **kwargs)

    return load


def test_rows_and_columns(tmp_path, load):
    data = load(write_motionfolder(tmp_path / "folder"))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 4, "validation": 2, "test": 2}
    row = data["train"][1]
    assert row["id"] == "takes/clip_001" and row["file_name"] == "takes/clip_001.npz"
    assert row["captions"] == ["a person waves the left hand", "someone waves the left hand"]
    assert (row["label"], row["actor"], row["fps"]) == ("waves the left hand", 1, 20.0)
    np.testing.assert_array_equal(row["motion"], moving_person("waves the left hand", 41, seed=1))
    assert get_skeleton(row["skeleton"]).joints == get_skeleton("smpl22").joints
    report = data.skip_report
    assert report.counts == {"file without a metadata line": 1, "missing motion file": 1, "unreadable motion file": 1}
    assert {entry["item"] for entry in report.skipped} == {"unlisted.npz", "takes/absent.npz", "takes/cut.npz"}


def test_mixed_skeletons(tmp_path, load):
    names = ("smpl22", "kit21", "ntu25")
    data = load(write_motionfolder(tmp_path / "folder", num_clips=12, skeletons=names, defects=False))
    for split in data.values():
        for row, motion in zip(split, iter_motions(split)):
            skeleton = get_skeleton(row["skeleton"])
            assert row["motion"].shape[1:] == (skeleton.num_joints, 3) and row["motion"].dtype == np.float32
            np.testing.assert_array_equal(row["motion"], motion)
            number = int(row["id"][-3:])
            expected = moving_person(row["label"], 40 + number, 20.0, names[number % 3], number)
            np.testing.assert_array_equal(motion, expected)
        batch = split[:2]
        assert [len(motion) for motion in batch["motion"]] == [len(split[0]["motion"]), len(split[1]["motion"])]


def test_without_metadata_every_file_is_a_row(tmp_path, load):
    folder = write_motionfolder(tmp_path / "folder")
    (folder / "metadata.jsonl").unlink()
    data = load(folder)
    assert list(data) == ["train"] and len(data["train"]) == 9
    assert all(captions == [] for captions in data["train"]["captions"])
    assert [entry["item"] for entry in data.skip_report.skipped] == ["takes/cut.npz"]
    with pytest.raises(MotionDataError, match="no motion file"):
        (tmp_path / "empty").mkdir()
        load(tmp_path / "empty")


def test_csv_with_a_caption_a_line_equals_jsonl(tmp_path, load):
    folder = write_motionfolder(tmp_path / "folder", defects=False)
    expected = load(folder)
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    (folder / "metadata.jsonl").unlink()
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file_name", "text", "split", "label", "actor"])
        writer.writeheader()
        for line in lines:
            for caption in line.pop("captions"):
                writer.writerow(line | {"text": caption})
    data = load(folder)
    for split in expected:
        assert data[split].features == expected[split].features
        for one, other in zip(data[split], expected[split]):
            np.testing.assert_array_equal(one.pop("motion"), other.pop("motion"))
            assert one == other


def test_extra_columns(tmp_path, load):
    folder = tmp_path / "folder"
    lines = []
    for index in range(3):
        write_motion_npz(folder / f"{index}.npz", moving_person("bows", 20), 20.0)
        line = {"file_name": f"{index}.npz", "text": "bows", "id": f"take-{index}", "score": [1, 2.5, 3][index]}
        line |= {"good": index > 0, "mixed": ["a", 1, 2.0][index], "list": [1, 2]}
        if index:
            line |= {"label": "bow", "sometimes": 3}
        lines.append(json.dumps(line))
    (folder / "metadata.jsonl").write_text("﻿" + "\n\n".join(lines) + "\n")
    data = load(folder)
    train = data["train"]
    assert train["id"] == ["take-0", "take-1", "take-2"] and train["captions"] == [["bows"]] * 3
    assert train["score"] == [1.0, 2.5, 3.0] and train["good"] == [False, True, True]
    assert train["label"] == [None, "bow", "bow"] and train["mixed"] == ["a", "1", "2.0"]
    assert not {"sometimes", "list"} & set(train.column_names)
    assert any("'sometimes'" in note for note in data.skip_report.notes)


@pytest.mark.parametrize(
    "line, named",
    [
        ("{", "no valid JSON"),
        ("[1]", "not an object"),
        ('{"captions": ["a"]}', "no file_name"),
        ('{"file_name": 3}', "no file_name"),
        ('{"file_name": "../a.npz"}', "out of the folder"),
        ('{"file_name": "b/../../a.npz"}', "out of the folder"),
        ('{"file_name": "/etc/a.npz"}', "out of the folder"),
        ('{"file_name": "C:\\\\a.npz"}', "out of the folder"),
        ('{"file_name": "..\\\\a.npz"}', "out of the folder"),
        ('{"file_name": "a.npz", "captions": 3}', "captions"),
        ('{"file_name": "a.npz", "captions": [["a"]]}', "captions"),
        ('{"file_name": "a.npz", "split": "a b"}', "split"),
        ('{"file_name": "a.npz", "split": 3}', "split"),
        ('{"file_name": "a.npz", "fps": "fast"}', "fps"),
        ('{"file_name": "a.npz", "skeleton": 3}', "skeleton"),
        ('{"file_name": "ok.npz", "split": "test"}', "listed before"),
        ('{"file_name": "a.npz", "id": "ok"}', "used before"),
        ("[" * 100000, "no valid JSON"),
    ],
)
def test_broken_metadata_names_the_line(tmp_path, line, named):
    path = tmp_path / "metadata.jsonl"
    path.write_text('{"file_name": "ok.npz", "id": "ok"}\n\n' + line + "\n")
    with pytest.raises(MotionDataError, match=named) as caught:
        read_metadata(path)
    assert "metadata.jsonl, line 3" in str(caught.value)


@pytest.mark.parametrize(
    "text, named",
    [
        ("file_name,text\na.npz,hello, world\n", "line 2.*more cells"),
        ("file_name,text,split\na.npz,hello\n", "line 2.*fewer cells"),
        ('file_name,text\na.npz,"hello\n', "no valid CSV"),
        ("name,text\na.npz,hello\n", "line 2.*no file_name"),
    ],
)
def test_broken_csv_names_the_line(tmp_path, text, named):
    path = tmp_path / "metadata.csv"
    path.write_text(text)
    with pytest.raises(MotionDataError, match=named):
        read_metadata(path)


def test_csv_cells(tmp_path):
    path = tmp_path / "metadata.csv"
    path.write_text('file_name,captions,code,count\na.npz,"[""one"", ""two""]",007,1\nb.npz,"a, b",008,2\n')
    first, second = read_metadata(path)
    assert first.captions == ["one", "two"] and second.captions == ["a, b"]
    assert first.extras == {"code": "007", "count": 1}


def test_fps_and_skeleton_from_metadata_and_options(tmp_path, load):
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "a.npy", moving_person("bows", 30))
    np.save(folder / "b.npy", moving_person("bows", 30))
    lines = [{"file_name": "a.npy", "fps": 25, "skeleton": "smpl22"}, {"file_name": "b.npy", "skeleton": "smpl22"}]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert load(folder, fps=50.0)["train"]["fps"] == [25.0, 50.0]


def test_options(tmp_path, load, monkeypatch):
    folder = write_motionfolder(tmp_path / "folder", num_clips=12)
    expected = load(folder)
    assert len(load(folder, splits="val", max_items=2)["validation"]) == 2
    # Threads stand in for the processes, whose start takes seconds.
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: multiprocessing.dummy)
    parallel = load_motion_dataset("motionfolder", folder, cache_dir=tmp_path / "other", progress=False, num_proc=2)
    assert parallel.skip_report.counts == expected.skip_report.counts
    assert parallel["train"]["id"] == expected["train"]["id"]
    for wrong in ({"splits": "other"}, {"num_proc": 0}, {"max_items": -1}, {"window": 3}):
        with pytest.raises(MotionDataError):
            load(folder, **wrong)
