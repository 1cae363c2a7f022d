"""Real clips never seen in training -> retrieval scores of both sides after the same epochs, and seconds an epoch.

    python -m benchmarks.training_quality --official ../MotionPatches --mocap ../shared/mocap --work runs --seeds 0 1 2

`bandai`, `split_unseen`: combinations of content and style that training has not seen. Both sides start from random
weights, train on the same clips for as many epochs, choose the checkpoint on validation, and are scored on test under the
protocol `all`. Then our model, untouched, reads two other skeletons: `cmu_daz` (retrieval by description) and `hdm05`
(zero-shot classification over 11 labels, written out as sentences), against chance.

Reports of the official side that are there already (`official_side.py --output`) are taken with `--official_results`; so
are ours, from `--work`. Seconds an epoch are measured alternately, a few batches of the one, then of the other.
"""

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


def overrides_of(options, folders: dict[str, Path], seed: int, output: Path) -> list[str]:
    """Our recipe as `key=value`."""
    settings = {
        **RECIPE,
        "epochs": options.epochs,
        "seed": seed,
        "output_dir": str(output),
        "data": {"name": "motionfolder", "data_dir": str(folders["bandai"])},
        "evaluation_data": [
            {"name": "motionfolder", "data_dir": str(folders["cmu_daz"]), "task": "retrieval", "label": "cmu_daz"},
            {"name": "motionfolder", "data_dir": str(folders["hdm05"]), "task": "classification", "label": "hdm05"},
        ],
    }
    extra = dict(item.partition("=")[::2] for item in options.set)
    given = {key: json.dumps(value) for key, value in settings.items()} | extra
    return [f"{key}={value}" for key, value in given.items()]


def train_ours(options, folders: dict[str, Path], seed: int) -> dict:
    """One run in a process of its own; its `results.json`."""
    output = options.work / f"ours-seed{seed}"
    if not (output / "results.json").is_file():
        command = [
            sys.executable,
            "-m",
            "modeling_motionpatch.training.main",
            "--recipe",
            options.recipe,
            "--overwrite",
        ]
        command += overrides_of(options, folders, seed, output)
        done = subprocess.run(command, cwd=common.ROOT, stdout=sys.stderr, env=_environment(options), check=False)
        if done.returncode:
            raise RuntimeError(f"Our training with seed {seed} failed with exit code {done.returncode}.")
    return json.loads((output / "results.json").read_text())


def train_official(options, seed: int) -> dict | None:
    """One official run, or a report of one."""
    from .official_side import run_in_subprocess

    path = options.work / f"official-seed{seed}.json"
    if path.is_file():
        return json.loads(path.read_text())
    if common.official_code(options, with_dataset=True) is None:
        return None
    threads = options.threads or os.cpu_count()
    return run_in_subprocess(
        options.official, options.mocap, options.epochs, seed, threads, path, device=options.device
    )


def _environment(options) -> dict:
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    if options.threads:
        environment["OMP_NUM_THREADS"] = str(options.threads)
    if options.device == "cpu":
        environment["ACCELERATE_USE_CPU"] = "true"
    return environment


# --------------------------------------------------------------------------------------------------------------------
# Seconds an epoch


def time_epochs(options, folders: dict[str, Path]) -> dict:
    """Some batches of each side in turn -> seconds an epoch."""
    import tempfile

    import torch
    from tqdm import tqdm

    from modeling_motionpatch.training import Trainer, resolve_arguments

    from . import official_side
    from .official_data import read_bandai, write_official_folder

    with tempfile.TemporaryDirectory() as work:
        overrides = overrides_of(options, folders, 0, Path(work) / "ours")
        trainer = Trainer(resolve_arguments(options.recipe, [*overrides, "overwrite=true"]))
        trainer._claim_folder()
        trainer.prepare()
        trainer.loss_sum = torch.zeros((), dtype=torch.float64, device=trainer.accelerator.device)
        plan, bar = trainer.planner.plan(0), tqdm(disable=True)
        clips_of_ours = min(len(plan), options.timed_batches) * trainer.args.batch_size

        def ours():
            for index in range(min(len(plan), options.timed_batches)):
                trainer._step(trainer.maker.make(plan, index), bar)

        sides, per_epoch = {"ours": ours}, {"ours": trainer.steps_per_epoch * trainer.args.batch_size}
        counts = {"ours": clips_of_ours}
        code = common.official_code(options, with_dataset=True)
        if code is not None:
            from itertools import islice

            from torch.utils.data import DataLoader
            from transformers import AutoTokenizer

            folder = Path(work) / "official"
            write_official_folder(folder, read_bandai(options.mocap, "split_unseen"))
            dataset = code.dataset(folder, "train")
            captions = [text["caption"] for clip in dataset.data_dict.values() for text in clip["text"]]
            text_folder = official_side.write_text_tower(Path(work) / "text", captions)
            tokenizer = AutoTokenizer.from_pretrained(text_folder)
            model = official_side.official_model(code, text_folder, options.device)
            size = official_side.BATCH_SIZE
            loader = DataLoader(dataset, batch_size=size, shuffle=True, drop_last=True)
            optimizer, scheduler = official_side.official_optimizer(model, len(loader) * options.epochs)

            def official():
                batches = islice(loader, options.timed_batches)
                official_side.train_epoch(model, tokenizer, batches, optimizer, scheduler, options.device)

            sides = {"official": official, **sides}
            counts["official"] = min(options.timed_batches, len(loader)) * size
            per_epoch["official"] = len(loader) * size
        times = common.interleave(sides, options.repeats, options.device)
    seconds = {
        name: {
            kind: round(float(np.median(values)) * per_epoch[name] / counts[name], 2) for kind, values in side.items()
        }
        for name, side in times.items()
    }
    scale = counts["ours"] / counts["official"] if "official" in counts else 1.0
    return {
        "seconds_an_epoch": seconds,
        "clips_an_epoch": per_epoch,
        "ratio_for_the_same_clips": common.ratios(times, "official", "ours", scale),
    }


# --------------------------------------------------------------------------------------------------------------------
# Scores


def spread(rows: list[dict]) -> dict:
    """Mean, lowest and highest of each figure over the seeds."""
    return {
        name: {
            "mean": round(float(np.mean([row[name] for row in rows])), 2),
            "min": min(row[name] for row in rows),
            "max": max(row[name] for row in rows),
        }
        for name in rows[0]
        if all(name in row for row in rows)
    }


def chance(work: Path, folders: dict[str, Path]) -> dict:
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


def run(options) -> dict:
    """Both sides and all seeds; see the module."""
    folders = unpack(options.mocap, options.work)
    report = {
        "claim": "training_quality",
        "goal": "several times faster for the same clips, better after the same epochs by more than the seeds' spread",
        "data": "bandai, split_unseen",
        "protocol": "all",
        "epochs": options.epochs,
        "recipe": options.recipe,
    }
    if options.timed_batches:
        report["time"] = time_epochs(options, folders)
    official = [json.loads(Path(path).read_text()) for path in options.official_results]
    if not official:
        official = [run for seed in options.seeds if (run := train_official(options, seed)) is not None]
    official = [run for run in official if len(run["epochs"]) >= options.epochs] or official
    ours = [train_ours(options, folders, seed) for seed in options.seeds]
    report["parameters"] = {
        "ours": ours[0]["parameters"],
        **({"official": official[0]["model"]["parameters"]} if official else {}),
    }

    tests = [next(iter(run["test"].values())) for run in ours]
    tests = [next(figures for label, figures in test.items() if label.split()[0] == "all") for test in tests]
    scores = {"ours": spread([{name: test[name] for name in FIGURES} for test in tests])}
    if official:
        rows = [run["epochs"][: options.epochs] for run in official]
        best = [max(row, key=lambda entry: entry["val"]["t2m/R@1"] + entry["val"]["m2t/R@1"]) for row in rows]
        scores["official_chosen_on_validation"] = spread([entry["test"] for entry in best])
        scores["official_last_epoch"] = spread([row[-1]["test"] for row in rows])
        report["official_chosen_epoch"] = [entry["epoch"] for entry in best]
        report["official_epochs"] = [len(run["epochs"]) for run in official]
        report["better_than_every_official_seed"] = {
            name: scores["ours"][name]["min"] > scores["official_chosen_on_validation"][name]["max"]
            for name in ("t2m/R@1", "m2t/R@1")
        }
    report["test"] = scores
    report["chosen_epoch"] = [run["chosen_epoch"] for run in ours]
    report["training_seconds"] = [round(run["seconds"]["training"], 1) for run in ours]
    further = {name: [run["evaluation_data"][name] for run in ours] for name in ours[0]["evaluation_data"]}
    report["untouched_on_other_skeletons"] = {
        name: spread([next(iter(row.values())) if isinstance(next(iter(row.values())), dict) else row for row in rows])
        for name, rows in further.items()
    }
    report["chance"] = chance(options.work, folders)
    return report


def main(arguments=None) -> dict:
    """Command line."""
    parser = common.parser(__doc__, repeats=3)
    parser.add_argument("--mocap", type=Path, default=common.ROOT.parent / "shared" / "mocap")
    parser.add_argument(
        "--work", type=Path, default=common.ROOT / "runs" / "training_quality", help="folder of all runs"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--recipe", default="demo", help="name or file; the settings of this file lie over it")
    parser.add_argument("--set", nargs="*", default=[], help="further key=value of our training")
    parser.add_argument("--official_results", nargs="*", default=[], help="reports of official_side.py")
    parser.add_argument("--timed-batches", type=int, default=4, help="batches a round; 0 leaves the timing out")
    options = parser.parse_args(arguments)
    common.start(options)
    if not (options.mocap / "bandai").is_dir():
        parser.exit(3, f"{options.mocap} has no bandai/; give --mocap.\n")
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
