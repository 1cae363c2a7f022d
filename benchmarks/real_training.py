"""Our training on the real motion capture of `../shared/mocap`: settings, runs in processes of their own, their figures.

What [`training_quality`], [`ablation`] and [`transfer`] have in common. A run trains on `bandai`, with combinations of
content and style held out (`split_unseen`), chooses the checkpoint on validation, is scored on test, and then reads two
other skeletons untouched: `cmu_daz` (retrieval by description) and `hdm05` (zero-shot classification).
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from . import common


# Small towers and one rate: what 30 minutes on two cores allow for three seeds.
RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "tokenizer": "train",
    "motion_pretrained": None,
    "text_pretrained": None,
    "model.projection_dim": 128,
    "model.projection_dropout": 0.1,
    "model.text_pooling": "mean",
    "model.motion_config.architecture": "vit_tiny_patch16_224",
    "model.motion_config.architecture_kwargs": {"embed_dim": 128, "depth": 4, "num_heads": 4},
    "model.text_config": {
        "model_type": "distilbert",
        "dim": 128,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 512,
        "max_position_embeddings": 77,
    },
    "lr_motion": 5e-4,
    "lr_text": 5e-4,
    "lr_heads": 5e-4,
    "warmup": 0.1,
    "duplicates": "positive",
    "length_chunks": 4,
    "save_dtype": "float16",
    "keep_checkpoints": False,
    "plot": False,
    "progress": False,
}
# The towers of `official_side.py`, to compare the same work.
OFFICIAL_SIZES = {
    "model.projection_dim": 256,
    "model.motion_config.architecture_kwargs": {"embed_dim": 192, "depth": 12, "num_heads": 3},
    "model.text_config": {
        "model_type": "distilbert",
        "dim": 256,
        "n_layers": 4,
        "n_heads": 4,
        "hidden_dim": 1024,
        "max_position_embeddings": 512,
    },
}
HDM05 = {
    "clap5Reps": "claps the hands five times",
    "depositFloorR": "puts something down on the floor with the right hand",
    "elbowToKnee1RepsLelbowStart": "touches the knees with the elbows in turn, the left elbow first",
    "grabHighR": "grabs something high up with the right hand",
    "hopBothLegs1hops": "hops forward on both legs",
    "jogLeftCircle4StepsRstart": "jogs in a circle to the left",
    "kickLFront1Reps": "kicks to the front with the left leg",
    "kickRFront1Reps": "kicks to the front with the right leg",
    "lieDownFloor": "lies down on the floor",
    "rotateArmsBothBackward1Reps": "swings both arms backward in circles",
    "sneak2StepsLStart": "sneaks forward on tiptoe",
    "squat1Reps": "squats down and stands up again",
    "squat3Reps": "squats down and stands up again three times",
    "throwBasketball": "throws a ball with both hands",
}
FIGURES = [f"{direction}/R@{k}" for direction in ("t2m", "m2t") for k in (1, 5, 10)]
CHANCE_DRAWS = 20


def unpack(mocap: Path, work: Path) -> dict[str, Path]:
    """The three sets as motionfolders; labels of `hdm05` become sentences."""
    folders = {}
    for name in ("bandai", "cmu_daz", "hdm05"):
        folders[name] = work / "data" / name
        if not (folders[name] / "metadata.jsonl").is_file():
            command = [sys.executable, str(mocap / "unpack.py"), name, str(folders[name])]
            subprocess.run(command + (["split_unseen"] if name == "bandai" else []), check=True)
        path = folders[name] / "metadata.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            if name == "hdm05":
                row["label"] = HDM05.get(row["label"], row["label"])
            if name != "bandai":
                row["split"] = "test"  # nothing is trained on
            if name == "cmu_daz":
                row["captions"] = [row.get("description", row["captions"][0])]
        rows = [row for row in rows if all(row["captions"])]  # one take of CMU has no description
        rows = [{key: row[key] for key in ("file_name", "captions", "split", "label") if key in row} for row in rows]
        common.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return folders


def further_data(folders: dict[str, Path]) -> list[dict]:
    """The two sets that a model reads untouched, as `evaluation_data`."""
    return [
        {"name": "motionfolder", "data_dir": str(folders["cmu_daz"]), "task": "retrieval", "label": "cmu_daz"},
        {"name": "motionfolder", "data_dir": str(folders["hdm05"]), "task": "classification", "label": "hdm05"},
    ]


def overrides_of(settings: dict) -> list[str]:
    """Settings as `key=value`."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def settings_of(folders: dict[str, Path], epochs: int, seed: int, output: Path) -> dict:
    """The recipe of one run on `bandai`."""
    return {
        **RECIPE,
        "epochs": epochs,
        "seed": seed,
        "output_dir": str(output),
        "data": {"name": "motionfolder", "data_dir": str(folders["bandai"]), "label": "bandai"},
        "evaluation_data": further_data(folders),
    }


def train(settings: dict, options, recipe: str = "demo") -> dict:
    """One run in a process of its own; the `results.json` of a run that is there already is taken as it is."""
    output = Path(settings["output_dir"])
    if not (output / "results.json").is_file():
        command = [sys.executable, "-m", "modeling_motionpatch.training.main", "--recipe", recipe, "--overwrite"]
        command += overrides_of(settings)
        done = subprocess.run(command, cwd=common.ROOT, stdout=sys.stderr, env=_environment(options), check=False)
        if done.returncode:
            raise RuntimeError(f"The training in {output} failed with exit code {done.returncode}.")
    return json.loads((output / "results.json").read_text())


def _environment(options) -> dict:
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    if options.threads:
        environment["OMP_NUM_THREADS"] = str(options.threads)
    if options.device == "cpu":
        environment["ACCELERATE_USE_CPU"] = "true"
    return environment


def test_figures(results: dict, name: str = "bandai") -> dict[str, float]:
    """R@1, R@5 and R@10 of both directions on a test split under the protocol `all`."""
    return under_all(results["test"][name])


def further_figures(results: dict) -> dict[str, dict[str, float]]:
    """The same for `cmu_daz`; top-1 and top-5 of `hdm05`."""
    further = results["evaluation_data"]
    hdm05 = {name: further["hdm05"][name] for name in ("top1", "top5")}
    return {"cmu_daz": under_all(further["cmu_daz"]), "hdm05": hdm05}


def under_all(protocols: dict) -> dict[str, float]:
    """The figures of [`FIGURES`] under the protocol `all`."""
    figures = next(figures for label, figures in protocols.items() if label.split()[0] == "all")
    return {name: figures[name] for name in FIGURES}


def spread(rows: list[dict]) -> dict:
    """Mean, standard deviation, lowest and highest of each figure over the seeds."""
    return {
        name: {
            "mean": round(float(np.mean([row[name] for row in rows])), 2),
            "std": round(float(np.std([row[name] for row in rows], ddof=1)), 2) if len(rows) > 1 else None,
            "min": round(min(row[name] for row in rows), 2),
            "max": round(max(row[name] for row in rows), 2),
        }
        for name in rows[0]
        if all(name in row for row in rows)
    }


def chance(folders: dict[str, Path]) -> dict:
    """The same protocols on random embeddings, and the share of the most frequent label."""
    from modeling_motionpatch.evaluation import retrieval_metrics

    result = {}
    rows = [json.loads(line) for line in (folders["cmu_daz"] / "metadata.jsonl").read_text().splitlines()]
    captions = [row["captions"][0] for row in rows]
    random = np.random.default_rng(0)
    draws = []
    for _ in range(CHANCE_DRAWS):
        texts, motions = random.normal(size=(2, len(captions), 64))
        # Equal captions have equal embeddings.
        texts = texts[[captions.index(caption) for caption in captions]]
        draws.append(dict(retrieval_metrics(texts, motions, captions, protocol="all")))
    result["cmu_daz"] = {name: round(float(np.mean([draw[name] for draw in draws])), 2) for name in FIGURES}
    labels = [json.loads(line)["label"] for line in (folders["hdm05"] / "metadata.jsonl").read_text().splitlines()]
    counts = {label: labels.count(label) for label in set(labels)}
    result["hdm05"] = {
        "classes": len(counts),
        "top1": round(100 / len(counts), 2),
        "most_frequent_label": round(100 * max(counts.values()) / len(labels), 2),
    }
    return result


def read_options(doc: str, work: str, epochs: int, arguments=None, **added: dict) -> argparse.Namespace:
    """The options of a script that trains on real clips; ends the program where the recordings are not at hand.

    Args:
        doc (`str`): What `--help` prints.
        work (`str`): Name of the folder of its runs.
        epochs (`int`): Default of `--epochs`.
        arguments (`list[str]`, *optional*): Instead of the command line's.
        added: Further options, name -> what `add_argument` takes.
    """
    parser = common.parser(doc, repeats=3)
    parser.add_argument("--mocap", type=Path, default=common.ROOT.parent / "shared" / "mocap")
    parser.add_argument("--work", type=Path, default=common.ROOT / "runs" / work, help="folder of all runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=epochs)
    for name, settings in added.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    options = parser.parse_args(arguments)
    common.start(options)
    if not (options.mocap / "bandai").is_dir():
        parser.exit(3, f"{options.mocap} has no bandai/; give --mocap.\n")
    return options
