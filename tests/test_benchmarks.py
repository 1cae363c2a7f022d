"""Every benchmark starts with tiny settings and tells the truth about sides that are not there."""

import json
from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from benchmarks import (
    ablation,
    bvh_parsing,
    common,
    encoding,
    gpu,
    preprocessing,
    real_training,
    search,
    startup,
    training_quality,
    training_step,
    transfer,
)
from benchmarks.official_code import OfficialCode, OfficialCodeError
from benchmarks.official_data import SMPL22, canonicalize_smpl22, to_smpl22, write_official_folder
from modeling_motionpatch.geometry_motionpatch import canonicalize_joints
from modeling_motionpatch.skeletons_motionpatch import get_skeleton


OFFICIAL = next(
    (
        path
        for path in (Path(__file__).resolve().parents[1].parent / name for name in ("MotionPatches", "official"))
        if (path / "models" / "clip.py").is_file()
    ),
    None,
)
WITH_OFFICIAL = [] if OFFICIAL is None else ["--official", str(OFFICIAL)]
TINY = ["--size", "tiny-test", "--repeats", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def own_accelerator():
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)


def read(path: Path) -> dict:
    report = json.loads(path.read_text())
    assert {"claim", "settings", "hardware", "versions"} <= report.keys()
    return report


def test_preprocessing(tmp_path, capsys):
    arguments = ["--clips", "4", "--slow-clips", "4", "--repeats", "1", "--output", str(tmp_path / "a.json")]
    preprocessing.main(arguments + WITH_OFFICIAL)
    report = read(tmp_path / "a.json")
    assert json.loads(capsys.readouterr().out) == report
    assert report["ratio"]["python_loop/official_preset"]["cpu_s"] > 1
    assert ("official" in report["sides"]) == (OFFICIAL is not None)


def test_encoding(tmp_path):
    encoding.main([*TINY, "--clips", "5", "--checked", "3", "--output", str(tmp_path / "a.json"), *WITH_OFFICIAL])
    agreement = read(tmp_path / "a.json")["agreement"]
    for name, entry in agreement.items():
        assert entry["largest_difference"] < (0.02 if "bfloat16" in name else 1e-5)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_training_step(tmp_path, precision):
    AcceleratorState._reset_state(True)  # of the run in another precision
    arguments = ["--batch-size", "4", "--steps", "1", "--precision", precision, "--output", str(tmp_path / "a.json")]
    training_step.main([*TINY, *arguments, *WITH_OFFICIAL])
    AcceleratorState._reset_state(True)
    report = read(tmp_path / "a.json")
    assert ("bfloat16" in report["dtype_of_ours"]) == (precision == "bf16")
    assert report["tflop_per_step"]["model"] >= 0 and report["step_s"]["ours"] > 0
    assert (report["ratio"]["official/ours"] is None) == (OFFICIAL is None)


def test_flop_of_a_known_product():
    import torch

    a = torch.randn(8, 16, requires_grad=True)
    forward_and_backward = training_step.count_flop(lambda: (a @ torch.ones(16, 4)).sum().backward())
    assert forward_and_backward == 2 * (2 * 8 * 16 * 4)


def test_search(tmp_path):
    arguments = ["--rows", "300", "--queries", "3", "--no-index-below", "1000", "--output", str(tmp_path / "a.json")]
    search.main([*TINY, *arguments])
    (entry,) = read(tmp_path / "a.json")["sizes"]
    assert entry["windows"] == 300 and entry["random"]["exact"]["p50_ms"] > 0


def test_bvh_parsing(tmp_path):
    bvh_parsing.main(["--numbers", "2000", "--repeats", "1", "--output", str(tmp_path / "a.json")])
    (entry,) = read(tmp_path / "a.json")["files"]
    assert entry["largest_difference"] < 1e-5  # the plain parser is a second route to the same positions


def test_gpu_runs_its_parts_on_what_there_is(tmp_path):
    path = tmp_path / "a.json"
    gpu.main(["--small", "--device", "cpu", "--repeats", "1", "--only", "training_step 64", "--output", str(path)])
    assert "failed" not in read(path)["parts"]["training_step 64"]
    gpu.main(["--small", "--device", "cpu", "--seconds", "0", "--output", str(path)])
    assert read(path)["parts"] == {} and len(read(path)["left_out"]) == len(gpu.PARTS)


@pytest.mark.parametrize("script", [training_quality, ablation, transfer])
def test_trainings_on_real_clips_need_the_clips(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main(["--mocap", str(tmp_path)])
    assert "bandai" in capsys.readouterr().err


@pytest.fixture
def small_mocap(tmp_path) -> Path:
    """Three made-up sets in the form of `../shared/mocap`: enough to train a step on."""
    for name, captions, split in (
        ("bandai", ["a person walks", "a person waves"], ["train", "validation", "test"]),
        ("cmu_daz", ["walk", "wave"], ["test"]),
        ("hdm05", ["clap5Reps"], ["test"]),
    ):
        folder = tmp_path / "runs" / "data" / name
        folder.mkdir(parents=True)
        skeleton, rows = get_skeleton("smpl22"), []
        for index, joints in enumerate(common.made_up_motions([40] * 12, seed=1)):
            np.savez(
                folder / f"{index}.npz",
                joints=joints,
                fps=20.0,
                joint_names=np.array(skeleton.joints),
                parents=np.array(skeleton.parents),
            )
            row = {"file_name": f"{index}.npz", "captions": [captions[index % len(captions)]]}
            rows.append(row | {"split": split[index % len(split)], "label": captions[index % len(captions)]})
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mocap" / "bandai").mkdir(parents=True)
    return tmp_path


def arguments_of_small(small_mocap: Path) -> list[str]:
    return [
        *("--mocap", str(small_mocap / "mocap"), "--work", str(small_mocap / "runs"), "--epochs", "1"),
        *("--seeds", "0", "--threads", "1", "--device", "cpu", "--output", str(small_mocap / "a.json")),
    ]


def test_ablation_changes_what_it_names(small_mocap, monkeypatch):
    monkeypatch.setattr(real_training, "RECIPE", real_training.RECIPE | {"batch_size": 4, "max_text_tokens": 8})
    ablation.main([*arguments_of_small(small_mocap), "--variants", "no patches, a token a frame"])
    report = read(small_mocap / "a.json")
    assert list(report["test"]) == ["ours", "no patches, a token a frame"]
    for name, kind in (("ours", "patches"), ("no-patches-a-token-a-frame", "frames")):
        config = json.loads((small_mocap / "runs" / f"{name}-seed0" / "config.json").read_text())
        assert config["motion_config"]["input_kind"] == kind


def test_transfer_reports_every_training_set_against_chance(small_mocap, monkeypatch):
    monkeypatch.setattr(real_training, "RECIPE", real_training.RECIPE | {"batch_size": 4, "max_text_tokens": 8})
    few = transfer.GENERATED | {"num_train": 8, "num_validation": 4, "num_test": 4}
    monkeypatch.setattr(transfer, "GENERATED", few)
    transfer.main(arguments_of_small(small_mocap))
    report = read(small_mocap / "a.json")
    assert list(report["test"]) == ["bandai", "generated", "bandai and generated", transfer.PACKAGED]
    assert all(row.keys() == {"bandai", "cmu_daz", "hdm05"} for row in report["test"].values())
    assert report["chance"]["hdm05"]["top1"] == 100.0  # one label


def test_every_variant_of_the_ablation_is_a_setting(small_mocap):
    from modeling_motionpatch.training import resolve_arguments

    folders = real_training.unpack(small_mocap / "mocap", small_mocap / "runs")
    base = real_training.settings_of(folders, 1, 0, small_mocap / "out")
    for settings in ablation.VARIANTS.values():
        resolve_arguments("demo", real_training.overrides_of(base | settings))


def test_ratios_are_taken_round_by_round():
    times = {
        "slow": {"wall_s": [2.0, 20.0, 2.0], "cpu_s": [2.0, 2.0, 2.0]},
        "fast": {"wall_s": [1.0, 10.0, 1.0], "cpu_s": [1.0, 1.0, 1.0]},
    }
    assert common.ratios(times, "slow", "fast") == {"wall_s": 2.0, "cpu_s": 2.0}
    assert common.ratios(times, "slow", "fast", scale=4)["wall_s"] == 8.0  # four times the items in that time
    assert common.ratios(times, "slow", "absent") is None


def test_interleaving_runs_every_side_once_a_round():
    calls = []
    times = common.interleave({name: lambda name=name: calls.append(name) for name in "ab"}, repeats=4)
    assert calls.count("a") == calls.count("b") == 5  # one round to warm up
    assert all(set(calls[i : i + 2]) == {"a", "b"} for i in range(0, 10, 2))
    assert len(times["a"]["wall_s"]) == 4


def test_lengths_are_those_of_humanml3d():
    frames = common.humanml3d_lengths(20_000)
    assert frames.min() >= 40 and frames.max() <= 200
    assert frames.mean() / 20 == pytest.approx(7.1, abs=0.05)


def test_official_path_without_the_code(tmp_path):
    with pytest.raises(OfficialCodeError, match="clone"):
        OfficialCode(tmp_path)


def test_official_folder_and_canonical_form(tmp_path):
    motion = common.made_up_motions([30])[0] + np.float32([3, 1, -2])
    np.testing.assert_array_equal(to_smpl22(motion, SMPL22, {name: (name,) for name in SMPL22}), motion)
    canonical = canonicalize_smpl22(motion)
    np.testing.assert_allclose(canonical, canonicalize_joints(motion, get_skeleton("smpl22")), atol=1e-5)
    clip = {"id": "a", "joints": canonical, "captions": ["a person walks"], "split": "test"}
    assert write_official_folder(tmp_path, [clip]) == {"train": 0, "val": 0, "test": 1}
    assert (tmp_path / "texts" / "a.txt").read_text() == "a person walks#a/OTHER person/OTHER walks/OTHER#0.0#0.0\n"
    with pytest.raises(ValueError, match="#"):
        write_official_folder(tmp_path, [clip | {"captions": ["a # b"]}])


def test_startup_reads_a_fresh_process():
    code = startup.TIMED.format(code="import json", forbidden=("json", "datasets"))
    assert startup.fresh(code)["forbidden"] == ["json"]
    compile(startup.OPEN.format(folder="x", dim=4), "open", "exec")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        startup.fresh("1 / 0")


def test_gpu_parts_import_no_data_sets():
    code = "import json, sys\nsys.modules['datasets'] = sys.modules['evaluate'] = sys.modules['cv2'] = None\n"
    code += "from benchmarks import gpu\n"
    code += "names = ['training_step 256 four parts', 'encoding vit-tiny']\n"
    code += "report = "
    code += "gpu.main(['--small', '--device', 'cpu', '--repeats', '1', '--only', *names])\n"
    parts = startup.fresh(code + "print(json.dumps(report['parts']))")
    assert len(parts) == 2 and not any("failed" in part for part in parts.values()), parts
