"""Killed, stopped and starved runs end like one that was left alone; two processes end like one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from training_fixtures import NO_DROPOUT, environment, tiny_arguments, write_motionfolder, write_recipe

from modeling_motionpatch import MotionPatchModel
from modeling_motionpatch.training import CheckpointStore, Trainer
from modeling_motionpatch.training.checkpoints import MARKER, damage
from modeling_motionpatch.training.engine import EXIT_INTERRUPTED


WORKER = Path(__file__).with_name("training_worker.py")
# Plain steps of one step's gradients: Adam's first step is their sign, which hides their size.
ONE_STEP = NO_DROPOUT | {
    "epochs": 1,
    "max_steps": 1,
    "optimizer": "sgd",
    "lr_motion": 0.01,
    "lr_text": 0.01,
    "lr_heads": 0.01,
    "warmup": 0.0,
    "max_grad_norm": None,
    "duplicates": "positive",
    "captions": "first",
    "model.learn_logit_scale": True,
}
IGNORED = {"false_negatives": "exact", "duplicates": "negative"}
LAST_PAIR = ONE_STEP | {"max_steps": None, "drop_last": False, "data.max_items": 25}
# name -> (settings, jobs one after the other). 26 clips in batches of 8: 3 steps an epoch, 9 in all, saved every 2.
RUNS = {
    "whole": ({}, [{}]),
    "killed": ({}, [{"kill_at": 1}, {"kill_at": 5}, {"kill_at": 7}, {}]),
    "killed while saving": ({}, [{"kill_in_save_at": 8}, {}]),
    "stopped": ({}, [{"term_at": 4}, {}]),
    "disk full": ({}, [{"file_limit_at": 7}, {}]),
    "two processes": ({}, [{"world": 2}]),
    "two processes killed": ({}, [{"world": 2, "kill_at": 5}, {"world": 2}]),
    "one step": (ONE_STEP, [{}]),
    "one step by two": (ONE_STEP, [{"world": 2}]),
    "one step in parts": (ONE_STEP | {"chunk_size": 3}, [{}]),
    "one step by two in parts": (ONE_STEP | {"chunk_size": 2}, [{"world": 2}]),
    "one step with ignored pairs by two": (ONE_STEP | IGNORED, [{"world": 2}]),
    "fsdp": ({}, [{"world": 2, "fsdp": True}]),
    "fsdp killed": ({}, [{"world": 2, "fsdp": True, "kill_at": 5}, {}, {"world": 2, "fsdp": True}]),
    "newest spoiled": ({}, [{"kill_at": 5}, {"spoil": True}]),
    "killed while publishing": ({}, [{"kill_in_export": True}, {}]),
    # 25 clips: the last batch is one pair
    "to the last pair": (LAST_PAIR, [{}]),
    "to the last pair by two": (LAST_PAIR, [{"world": 2}]),
    "no step": (ONE_STEP | {"lr_motion": 0.0, "lr_text": 0.0, "lr_heads": 0.0}, [{}]),
    "one step with ignored pairs": (ONE_STEP | IGNORED, [{}]),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders and exit codes of all runs."""
    root = tmp_path_factory.mktemp("resume")
    data = write_motionfolder(root / "data", counts=(26, 6, 6))
    jobs, owners = [], []
    for name, (settings, parts) in RUNS.items():
        folder = root / name.replace(" ", "-")
        changes = {"epochs": 3, "save_every": 2, "mirror": 0.5, "sub_crop": 0.7, **settings}
        recipe = write_recipe(tiny_arguments(data, folder, **changes), root / f"{folder.name}.yaml")
        for part in parts:
            part = part | ({"spoil": str(folder)} if "spoil" in part else {})
            jobs.append({"recipe": str(recipe), "arguments": ["--resume"], **part})
            owners.append(name)
    path = root / "jobs.json"
    path.write_text(json.dumps(jobs))
    done = subprocess.run([sys.executable, str(WORKER), str(path)], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    statuses = json.loads(path.with_suffix(".statuses").read_text())
    result = {}
    for name, status in zip(owners, statuses):
        result.setdefault(name, (root / name.replace(" ", "-"), []))[1].append(status)
    result["output"] = done.stdout + done.stderr
    return result


def same_run(one: Path, other: Path):
    assert (one / "log.jsonl").read_text() == (other / "log.jsonl").read_text()
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    results = [json.loads((folder / "results.json").read_text()) for folder in (one, other)]
    for key in ("history", "chosen_epoch", "test"):
        assert results[0][key] == results[1][key]


@pytest.mark.parametrize(
    "name, codes",
    [
        ("killed", [[-9], [-9], [-9], [0]]),
        ("killed while saving", [[-9], [0]]),
        ("stopped", [[EXIT_INTERRUPTED], [0]]),
        ("disk full", [[2], [0]]),
        ("newest spoiled", [[-9], [0]]),
        ("killed while publishing", [[-9], [0]]),
    ],
)
def test_interrupted_runs_end_bit_for_bit_alike(runs, name, codes):
    folder, statuses = runs[name]
    assert statuses == codes, runs["output"]
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 10))
    same_run(runs["whole"][0], folder)


def test_what_was_left_behind_is_cleared(runs):
    assert "step-00000004 is no whole checkpoint and is passed over: model.safetensors has" in runs["output"]
    names = [{p.name for p in runs[name][0].iterdir()} for name in ("whole", "killed while publishing")]
    assert names[0] == names[1]


def test_full_disk_says_what_is_left(runs):
    assert "could not be written" in runs["output"] and "step-00000006" in runs["output"]


@pytest.mark.parametrize(
    "one, other",
    [
        ("one step", "one step by two"),
        ("one step", "one step in parts"),
        ("one step", "one step by two in parts"),
        ("one step with ignored pairs", "one step with ignored pairs by two"),
        ("to the last pair", "to the last pair by two"),
    ],
)
def test_every_parameter_after_a_step(runs, one, other):
    assert all(code == 0 for code in runs[other][1][0]), runs["output"]
    weights = [load_file(runs[name][0] / "model.safetensors") for name in (one, other)]
    for key, value in weights[0].items():
        np.testing.assert_allclose(weights[1][key], value, atol=1e-6, rtol=0, err_msg=key)


def test_the_step_moves_the_weights(runs):
    """Or the comparison above would say nothing."""
    names = ("one step", "no step", "one step with ignored pairs")
    one, none, ignored = (load_file(runs[name][0] / "model.safetensors") for name in names)
    assert max(np.abs(one[key] - none[key]).max() for key in one) > 1e-3
    assert max(np.abs(one[key] - ignored[key]).max() for key in one) > 1e-5


def test_two_processes_resume(runs):
    (whole, codes), (killed, killed_codes) = runs["two processes"], runs["two processes killed"]
    assert codes == [[0, 0]] and killed_codes == [[-9, -9], [0, 0]], runs["output"]
    same_run(whole, killed)
    assert "Warning" not in runs["output"]


def test_fsdp_trains_like_two_processes(runs):
    (two, _), (whole, codes), (killed, killed_codes) = (runs[n] for n in ("two processes", "fsdp", "fsdp killed"))
    assert codes == [[0, 0]] and killed_codes == [[-9, -9], [2], [0, 0]], runs["output"]
    assert "was saved by FSDP" in runs["output"]
    same_run(whole, killed)
    checkpoint = CheckpointStore(whole).newest()
    assert (checkpoint / "pytorch_model_fsdp.bin").is_file()  # it was FSDP, and what it wrote needs no unpickling
    assert not list(checkpoint.rglob("*.distcp"))
    losses = [[json.loads(line)["loss"] for line in (f / "log.jsonl").read_text().splitlines()] for f in (two, whole)]
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-5)
    model = MotionPatchModel.from_pretrained(whole)
    assert model.logit_scale.ndim == 0
    weights = load_file(two / "model.safetensors")
    for key, value in model.state_dict().items():
        np.testing.assert_allclose(value.numpy(), weights[key], atol=1e-5, err_msg=key)


def test_checkpoints_are_rotated(runs):
    names = [path.name for path in CheckpointStore(runs["whole"][0]).names()]
    assert names == ["step-00000008", "step-00000009"]
    best = {path.name for path in (runs["whole"][0] / "checkpoints").glob("best-*")}
    assert 1 <= len(best) <= 2


def test_what_an_interrupted_rotation_left_goes(tmp_path, runs):
    """A kill while the oldest was being removed: it is gone after the next start, the whole ones stay."""
    import shutil

    shutil.copytree(runs["whole"][0] / "checkpoints", tmp_path / "checkpoints")
    store = CheckpointStore(tmp_path)
    (left := tmp_path / "checkpoints" / "step-00000007").mkdir()
    (left / "model.safetensors").write_bytes(b"half of it")
    store.clean()
    assert [path.name for path in store.names()] == ["step-00000008", "step-00000009"]


def test_half_written_is_not_whole(tmp_path, runs):
    import shutil

    whole = runs["whole"][0] / "checkpoints"
    for spoil in ("marker", "missing", "short", "bit"):
        folder = tmp_path / spoil
        shutil.copytree(whole, folder / "checkpoints")
        newest = folder / "checkpoints" / "step-00000009"
        weights = newest / "model.safetensors"
        if spoil == "marker":
            (newest / MARKER).unlink()
        elif spoil == "missing":
            weights.unlink()
        elif spoil == "short":
            weights.write_bytes(weights.read_bytes()[:-1])
        else:
            content = bytearray(weights.read_bytes())
            content[-1] ^= 1
            weights.write_bytes(bytes(content))
        assert damage(newest)
        assert CheckpointStore(folder).newest().name == "step-00000008"


def test_lost_best_weights_are_told(tmp_path, runs, capfd):
    """The run goes on and chooses among what follows, here the last weights."""
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(runs["whole"][0], folder)
    for path in (folder / "checkpoints").glob("best-*"):
        path.write_bytes(path.read_bytes()[:-1])
    data = runs["whole"][0].parent / "data"
    args = tiny_arguments(data, folder, epochs=3, save_every=2, mirror=0.5, sub_crop=0.7, resume=True)
    assert Trainer(args).run() == 0
    assert "best weights so far are lost" in "".join(capfd.readouterr())
    last = load_file(folder / "checkpoints" / "step-00000009" / "model.safetensors")
    for key, value in load_file(folder / "model.safetensors").items():
        np.testing.assert_array_equal(value, last[f"model.{key}"])


def test_other_settings_do_not_go_on(runs, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(runs["whole"][0], folder)
    data = runs["whole"][0].parent / "data"
    args = tiny_arguments(data, folder, epochs=3, save_every=2, mirror=0.5, sub_crop=0.7, resume=True, lr_text=2e-3)
    with pytest.raises(ValueError, match="lr_text"):
        Trainer(args).run()
    args = tiny_arguments(data, folder)
    with pytest.raises(ValueError, match="--resume"):
        Trainer(args).run()
