"""Real clips never seen in training -> retrieval scores of both sides after the same epochs, and seconds an epoch.

    python -m benchmarks.training_quality --official ../MotionPatches --mocap ../shared/mocap --work runs --seeds 0 1 2

`bandai`, `split_unseen`: combinations of content and style that training has not seen. Both sides start from random
weights, train on the same clips for as many epochs, choose the checkpoint on validation, and are scored on test under the
protocol `all`. Then our model, untouched, reads two other skeletons: `cmu_daz` (retrieval by description) and `hdm05`
(zero-shot classification over 11 labels, written out as sentences), against chance.

Runs that are in `--work` already are taken as they are (`ours-seed0/`, `official-seed0.json` of `official_side.py`).
Seconds an epoch are measured alternately, a few batches of the one, then of the other; ours also with the official
side's sizes (`official_side.py`), since our recipe's towers are smaller.
"""

import json
import os
from pathlib import Path

import numpy as np

from . import common, real_training


def train_ours(options, folders: dict[str, Path], seed: int) -> dict:
    """Our run with one seed."""
    settings = real_training.settings_of(folders, options.epochs, seed, options.work / f"ours-seed{seed}")
    return real_training.train(settings, options)


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


# --------------------------------------------------------------------------------------------------------------------
# Seconds an epoch


def our_side(options, settings: dict):
    """Some steps of our loop as a function, how many clips they see, and how many an epoch has."""
    import torch
    from tqdm import tqdm

    from modeling_motionpatch.training import Trainer, resolve_arguments

    trainer = Trainer(resolve_arguments("demo", real_training.overrides_of(settings)))
    trainer._claim_folder()
    trainer.prepare()
    trainer.loss_sum = torch.zeros((), dtype=torch.float64, device=trainer.accelerator.device)
    plan, bar = trainer.planner.plan(0), tqdm(disable=True)
    steps = min(len(plan), options.timed_batches)

    def side():
        for index in range(steps):
            trainer._step(trainer.maker.make(plan, index), bar)

    return side, steps * trainer.args.batch_size, trainer.steps_per_epoch * trainer.args.batch_size


def official_loop(options, code, folder: Path):
    """The same of the official loop; `folder` is for its data."""
    from itertools import islice

    from torch.utils.data import DataLoader
    from transformers import AutoTokenizer

    from . import official_side
    from .official_data import read_bandai, write_official_folder

    write_official_folder(folder, read_bandai(options.mocap, "split_unseen"))
    dataset = code.dataset(folder, "train")
    captions = [text["caption"] for clip in dataset.data_dict.values() for text in clip["text"]]
    text_folder = official_side.write_text_tower(folder / "text", captions)
    tokenizer = AutoTokenizer.from_pretrained(text_folder)
    model = official_side.official_model(code, text_folder, options.device)
    size = official_side.BATCH_SIZE
    loader = DataLoader(dataset, batch_size=size, shuffle=True, drop_last=True)
    optimizer, scheduler = official_side.official_optimizer(model, len(loader) * options.epochs)

    def side():
        batches = islice(loader, options.timed_batches)
        official_side.train_epoch(model, tokenizer, batches, optimizer, scheduler, options.device)

    return side, min(options.timed_batches, len(loader)) * size, len(loader) * size


def time_epochs(options, folders: dict[str, Path]) -> dict:
    """Some batches of each side in turn -> seconds an epoch; ours also with the official side's sizes."""
    import tempfile

    with tempfile.TemporaryDirectory() as work:
        ours = real_training.settings_of(folders, options.epochs, 0, Path(work) / "ours")
        same = {**ours, **real_training.OFFICIAL_SIZES, "output_dir": str(Path(work) / "same")}
        made = {"ours": our_side(options, ours), "ours_with_official_sizes": our_side(options, same)}
        code = common.official_code(options, with_dataset=True)
        if code is not None:
            made = {"official": official_loop(options, code, Path(work) / "official"), **made}
        times = common.interleave({name: side for name, (side, _, _) in made.items()}, options.repeats, options.device)
    clips = {name: count for name, (_, count, _) in made.items()}
    per_epoch = {name: count for name, (_, _, count) in made.items()}
    seconds = {
        name: {
            kind: round(float(np.median(values)) * per_epoch[name] / clips[name], 2) for kind, values in side.items()
        }
        for name, side in times.items()
    }
    ratio = {
        f"official/{name}": common.ratios(times, "official", name, clips[name] / clips["official"])
        for name in made
        if "official" in made and name != "official"
    }
    return {"seconds_an_epoch": seconds, "clips_an_epoch": per_epoch, "ratio_for_the_same_clips": ratio}


def run(options) -> dict:
    """Both sides and all seeds; see the module."""
    folders = real_training.unpack(options.mocap, options.work)
    report = {
        "claim": "training_quality",
        "goal": "several times faster for the same clips, better after the same epochs by more than the seeds' spread",
        "data": "bandai, split_unseen",
        "protocol": "all",
        "epochs": options.epochs,
    }
    if options.timed_batches:
        report["time"] = time_epochs(options, folders)
    official = [run for seed in options.seeds if (run := train_official(options, seed)) is not None]
    official = [run for run in official if len(run["epochs"]) >= options.epochs] or official
    ours = [train_ours(options, folders, seed) for seed in options.seeds]
    report["parameters"] = {
        "ours": ours[0]["parameters"],
        **({"official": official[0]["model"]["parameters"]} if official else {}),
    }

    scores = {"ours": real_training.spread([real_training.test_figures(run) for run in ours])}
    if official:
        rows = [run["epochs"][: options.epochs] for run in official]
        best = [max(row, key=lambda entry: entry["val"]["t2m/R@1"] + entry["val"]["m2t/R@1"]) for row in rows]
        scores["official_chosen_on_validation"] = real_training.spread([entry["test"] for entry in best])
        scores["official_last_epoch"] = real_training.spread([row[-1]["test"] for row in rows])
        report["official_chosen_epoch"] = [entry["epoch"] for entry in best]
        report["official_epochs"] = [len(run["epochs"]) for run in official]
        report["better_than_every_official_seed"] = {
            name: scores["ours"][name]["min"] > scores["official_chosen_on_validation"][name]["max"]
            for name in ("t2m/R@1", "m2t/R@1")
        }
    report["test"] = scores
    report["chosen_epoch"] = [run["chosen_epoch"] for run in ours]
    report["training_seconds"] = [round(run["seconds"]["training"], 1) for run in ours]
    further = [real_training.further_figures(run) for run in ours]
    report["untouched_on_other_skeletons"] = {
        name: real_training.spread([row[name] for row in further]) for name in further[0]
    }
    report["chance"] = real_training.chance(folders)
    return report


def main(arguments=None) -> dict:
    """Command line."""
    options = real_training.read_options(
        __doc__,
        "training_quality",
        12,
        arguments,
        timed_batches={"type": int, "default": 4, "help": "batches a round; 0 leaves the timing out"},
    )
    return common.emit(run(options), options)


if __name__ == "__main__":
    main()
