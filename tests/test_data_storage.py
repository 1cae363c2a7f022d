"""Converted once, then mapped, sharded or streamed: every way gives the same rows."""

import pickle

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets.distributed import split_dataset_by_node
from fixtures_data import moving_person, write_humanml3d, write_interhuman, write_motionfolder

import modeling_motionpatch.data as data_package
from modeling_motionpatch.data import (
    MotionDataError,
    SkipReport,
    iter_motions,
    known_datasets,
    load_motion_dataset,
    prepare_dataset,
)
from modeling_motionpatch.data.arrow import motion_from_arrow, motion_to_arrow
from modeling_motionpatch.data.storage import convert
from modeling_motionpatch.skeletons_motionpatch import get_skeleton


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_humanml3d(tmp_path_factory.mktemp("storage") / "HumanML3D")


def assert_same_rows(rows, expected):
    rows, expected = list(rows), list(expected)
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected):
        row, other = dict(row), dict(other)
        motion, other_motion = row.pop("motion"), other.pop("motion")
        assert motion.dtype == np.float32
        np.testing.assert_array_equal(motion, other_motion)
        assert row == other


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_prepared_mapped_and_streamed_rows_are_the_same(folder, tmp_path, file_format):
    expected = load_motion_dataset("humanml3d", folder, cache_dir=tmp_path / "cache", progress=False)
    output = tmp_path / "prepared"
    options = {"file_format": file_format, "num_shards": 3, "progress": False}
    report = prepare_dataset("humanml3d", folder, output, **options)
    assert report.counts == expected.skip_report.counts
    assert len(list((output / "data").glob(f"train-*-of-00003.{file_format}"))) == 3
    prepared = load_motion_dataset("humanml3d", output, cache_dir=tmp_path / "cache")
    assert prepared["train"].features == expected["train"].features
    streamed = load_motion_dataset("prepared", output, streaming=True)
    assert streamed["train"].num_shards == 3
    for split in expected:
        assert_same_rows(prepared[split], expected[split])
        assert_same_rows(streamed[split], expected[split])
    shares = [list(split_dataset_by_node(streamed["train"], rank, 3)) for rank in range(3)]
    assert_same_rows([row for share in shares for row in share], expected["train"])
    assert list(load_motion_dataset("humanml3d", output, splits="val")) == ["validation"]


def test_parquet_opens_with_datasets_alone(folder, tmp_path):
    prepare_dataset("humanml3d", folder, tmp_path / "out", progress=False)
    plain = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert list(plain) == ["train", "validation", "test"]
    assert plain["train"].features["motion"] == datasets.Array3D((None, 22, 3), "float32")
    assert plain.with_format("numpy")["train"][0]["motion"].shape == (60, 22, 3)


def test_second_load_does_not_convert_and_a_changed_file_does(tmp_path, monkeypatch):
    folder = write_humanml3d(tmp_path / "data", clips_per_split=1, defects=False)
    calls = []
    monkeypatch.setattr(
        data_package, "convert", lambda source, *args, **kwargs: (calls.append(1), convert(source, *args, **kwargs))
    )

    def load(**options):
        return load_motion_dataset("humanml3d", folder, cache_dir=tmp_path / "cache", progress=False, **options)

    first = load()
    converted = next(path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    partial = converted.rename(
        converted.with_name(f".{converted.name}.0123abcd.partial")
    )  # as a killed process leaves
    (partial / "motionpatch_dataset.json").unlink()
    first, again = load(), load()
    assert len(calls) == 2 and not partial.exists()
    calls.pop()
    assert_same_rows(again["train"], first["train"])
    load(splits="train")
    assert len(calls) == 2  # other options, other rows
    np.save(folder / "new_joints" / "000000.npy", moving_person("jumps up", 33))
    assert len(load()["train"][0]["motion"]) == 33 and len(calls) == 3
    (folder / "texts" / "000000.txt").write_text("changed#x/NOUN#0.0#0.0\n")
    assert load()["train"][0]["captions"] == ["changed"] and len(calls) == 4


def test_a_conversion_that_stops_leaves_nothing_behind(folder, tmp_path, monkeypatch):
    import modeling_motionpatch.data.storage as storage

    def stop(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_write_split", stop)
    with pytest.raises(OSError, match="No space"):
        prepare_dataset("humanml3d", folder, tmp_path / "out", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_output_folder_is_not_overwritten_by_accident(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(MotionDataError, match="not empty"):
            prepare_dataset("humanml3d", folder, tmp_path / "mine", overwrite=overwrite, progress=False)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    (tmp_path / "out").mkdir()
    prepare_dataset("humanml3d", folder, tmp_path / "out", progress=False)
    with pytest.raises(MotionDataError, match="overwrite=True"):
        prepare_dataset("humanml3d", folder, tmp_path / "out", progress=False)
    prepare_dataset("humanml3d", folder, tmp_path / "out", overwrite=True, splits="test", progress=False)
    assert list(load_motion_dataset("prepared", tmp_path / "out")) == ["test"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_wrong_use_is_told(folder, tmp_path):
    with pytest.raises(MotionDataError, match="humanml3d, kitml, babel, interhuman, motionfolder, generated"):
        load_motion_dataset("humanml")
    assert set(known_datasets()) >= {"humanml3d", "generated", "prepared"}
    prepare_dataset("humanml3d", folder, tmp_path / "out", progress=False)
    with pytest.raises(MotionDataError, match="holds 'humanml3d', not 'kitml'"):
        load_motion_dataset("kitml", tmp_path / "out")
    with pytest.raises(MotionDataError, match="already converted"):
        load_motion_dataset("humanml3d", tmp_path / "out", max_items=3)
    with pytest.raises(MotionDataError, match="prepare_dataset"):
        load_motion_dataset("prepared", folder)
    with pytest.raises(MotionDataError, match="file_format"):
        prepare_dataset("humanml3d", folder, tmp_path / "other", file_format="csv", progress=False)
    (tmp_path / "out" / "data" / "train-00000-of-00001.parquet").unlink()
    with pytest.raises(MotionDataError, match="lacks train-00000"):
        load_motion_dataset("humanml3d", tmp_path / "out")


def test_two_persons_and_mixed_skeletons_stream_as_they_map(tmp_path):
    for name, folder in (
        ("interhuman", write_interhuman(tmp_path / "interhuman")),
        ("motionfolder", write_motionfolder(tmp_path / "mixed", skeletons=("smpl22", "kit21"))),
    ):
        options = {"cache_dir": tmp_path / "cache", "progress": False}
        mapped = load_motion_dataset(name, folder, **options)
        streamed = load_motion_dataset(name, folder, streaming=True, **options)
        for split in mapped:
            assert_same_rows(streamed[split], mapped[split])
            for motion, row in zip(iter_motions(mapped[split]), mapped[split]):
                np.testing.assert_array_equal(motion, row["motion"])


def test_mapped_data_is_small_to_send_to_workers(folder, tmp_path):
    train = load_motion_dataset("humanml3d", folder, cache_dir=tmp_path / "cache", progress=False)["train"]
    sent = pickle.dumps(train)
    assert len(sent) < 20_000  # paths, not data
    assert_same_rows(pickle.loads(sent), train)
    shuffled = train.shuffle(seed=0).select(range(3))
    for motion, row in zip(iter_motions(shuffled), shuffled):
        np.testing.assert_array_equal(motion, row["motion"])


@pytest.mark.parametrize("tail", [(22, 3), (2, 22, 3), (1, 3)])
def test_arrow_round_trip_agrees_with_python_lists(tail):
    rng = np.random.default_rng(0)
    motions = [rng.normal(size=(length, *tail)).astype(np.float32) for length in (3, 1, 5)]
    array = motion_to_arrow(motions)
    assert array.equals(pa.array([motion.tolist() for motion in motions], array.type))
    for motion, other in zip(motion_from_arrow(array.slice(1)), motions[1:]):
        np.testing.assert_array_equal(motion, other)


def test_skip_report_saves_and_loads(tmp_path):
    report = SkipReport("set")
    assert report.summary() == "set: nothing was left out." and len(report) == 0
    for index in range(5):
        report.add("train", f"{index}", "missing", "détail")
    report.note("a")
    report.note("a")
    report.save(tmp_path / "report.json")
    assert SkipReport.load(tmp_path / "report.json") == report
    assert report.notes == ["a"] and "5 missing (0, 1, 2, ...)" in report.summary()


def test_generated_has_the_same_columns(tmp_path):
    pytest.importorskip("modeling_motionpatch.data.generated")
    options = {"num_train": 3, "num_validation": 0, "num_test": 2, "cache_dir": tmp_path / "cache"}
    data = load_motion_dataset("generated", **options)
    assert {split: len(rows) for split, rows in data.items()} == {"train": 3, "test": 2}
    for row, motion in zip(data["train"], iter_motions(data["train"])):
        assert list(row["captions"]) and all(isinstance(caption, str) for caption in row["captions"])
        skeleton = get_skeleton(row["skeleton"])
        assert row["motion"].shape[1:] == (skeleton.num_joints, 3) and row["motion"].dtype == np.float32
        np.testing.assert_array_equal(row["motion"], motion)
    assert_same_rows(load_motion_dataset("generated", streaming=True, **options)["test"], data["test"])
    prepare_dataset(
        "generated", tmp_path / "cache", tmp_path / "out", progress=False, num_train=3, num_validation=0, num_test=2
    )
    assert_same_rows(load_motion_dataset("prepared", tmp_path / "out", streaming=True)["test"], data["test"])
    with pytest.raises(MotionDataError, match="num_clips"):
        load_motion_dataset("generated", num_clips=3)
