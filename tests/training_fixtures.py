"""Tiny motionfolders and settings for the training tests: random walks on 22 joints, a model of a few thousand weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np


ROOT = Path(__file__).resolve().parents[1]
COLOURS = ("red", "green", "blue", "grey", "black", "white", "brown")
TINY = {
    "seed": 3,
    "epochs": 2,
    "batch_size": 8,
    "tokenizer": "train",
    "vocab_size": 150,
    "motion_pretrained": None,
    "text_pretrained": None,
    "model": {
        "projection_dim": 16,
        "projection_dropout": 0.2,
        "motion_config": {
            "max_frames": 64,
            "architecture_kwargs": {"embed_dim": 16, "depth": 1, "num_heads": 2},
        },
        "text_config": {"model_type": "distilbert", "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32},
    },
    "lr_motion": 1e-3,
    "lr_text": 1e-3,
    "log_every": 1,
    "protocols": ["all"],
    "progress": False,
    "plot": False,
}
NO_DROPOUT = {
    "model.projection_dropout": 0.0,
    "model.text_config.dropout": 0.0,
    "model.text_config.attention_dropout": 0.0,
}


def write_motionfolder(folder: Path, counts=(20, 6, 6), seed: int = 0) -> Path:
    """A motionfolder whose clips have 20 to 90 frames and one or two captions; some captions occur twice."""
    from modeling_motionpatch import get_skeleton

    random = np.random.default_rng(seed)
    skeleton = get_skeleton("smpl22")
    folder.mkdir(parents=True, exist_ok=True)
    rest = random.normal(size=(22, 3)).astype(np.float32) * 0.3 + np.float32([0, 1, 0])
    rest[skeleton.chains["right_leg"][0]] = [0, 1, 0]
    rest[1], rest[2], rest[16], rest[17] = (0.1, 0.9, 0), (-0.1, 0.9, 0), (0.2, 1.4, 0), (-0.2, 1.4, 0)
    lines = []
    for split, count in zip(("train", "validation", "test"), counts):
        for index in range(count):
            frames = int(random.integers(20, 90))
            joints = rest + np.cumsum(random.normal(size=(frames, 22, 3)).astype(np.float32) * 0.01, axis=0)
            name = f"{split}{index}.npz"
            np.savez(
                folder / name,
                joints=joints,
                fps=20.0,
                joint_names=np.array(skeleton.joints),
                parents=np.array(skeleton.parents),
            )
            captions = [f"a {COLOURS[index // 2 % 7]} person lifts the left arm {split} {index // 2}"]
            captions += [f"someone number {index} turns right"] * (index % 2)
            lines.append(json.dumps({"file_name": name, "captions": captions, "split": split}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def tiny_arguments(data_dir: Path, output_dir: Path, **changes):
    """`TrainArguments` of a run of a few seconds; `changes` may have dotted keys."""
    from modeling_motionpatch.training import TrainArguments
    from modeling_motionpatch.training.recipes import merge

    data = {"name": "motionfolder", "data_dir": str(data_dir), "cache_dir": str(Path(data_dir).parent / "cache")}
    settings = merge(TINY, {"data": data, "output_dir": str(output_dir)})
    for key, value in changes.items():
        *path, last = key.split(".")
        for part in reversed(path):
            last, value = part, {last: value}
        settings = merge(settings, {last: value})
    return TrainArguments(**settings)


def write_recipe(args, path: Path) -> Path:
    """The settings as a recipe file."""
    import yaml

    path.write_text(yaml.safe_dump(args.to_dict()))
    return path


def environment(**extra) -> dict:
    """Of subprocesses: this checkout, one thread, no network."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "false",
        **extra,
    }


def start_training(recipe: Path, *arguments: str, **options) -> subprocess.Popen:
    """`train_accelerate.py` as a process of its own."""
    command = [sys.executable, str(ROOT / "train_accelerate.py"), "--recipe", str(recipe), *arguments]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
