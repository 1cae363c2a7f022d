"""The chosen weights of a run -> test figures and the folder that `from_pretrained` opens."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..console import without_loading_bars
from . import setup
from .arguments import TrainArguments, TrainingError
from .checkpoints import PROGRESS, CheckpointError, file_checksum, sync
from .clips import ClipTable
from .reporting import base_models, description, plot_curves, versions, write_json, write_text
from .step import TowerPair


_EVALUATION_KEYS = ("name", "data_dir", "split", "task", "template", "num_classes", "label")
TEMPLATE = "A person {}."  # paper, Sec. 4.5: "A person {action}"


def save_weights(trainer, epoch: int, score: float | None) -> dict:
    """Writes the weights of the moment as the best so far; called by all processes.

    Returns:
        `dict`: `file`, `epoch`, `score` and `checksum`. Files that no whole checkpoint names are removed.
    """
    accelerator, folder = trainer.accelerator, trainer.checkpoints.folder
    state = accelerator.get_state_dict(trainer.towers)
    state = {key: getattr(value, "full_tensor", lambda v=value: v)() for key, value in state.items()}  # shards of FSDP
    name = f"best-epoch-{epoch:05d}.safetensors"
    digest = None
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        work = folder / f".{name}.partial"
        try:
            weights = {key.split("model.", 1)[1]: value.detach().cpu().contiguous() for key, value in state.items()}
            weights["logit_scale"] = weights["logit_scale"].reshape(())  # see setup.make_shardable
            save_file(weights, work)
            sync(work)
            digest = file_checksum(work)
            os.replace(work, folder / name)
        except (OSError, SafetensorError) as error:
            work.unlink(missing_ok=True)
            raise CheckpointError(
                f"The weights of epoch {epoch} could not be written to {folder} ({error}). The checkpoints before are "
                "whole: make room and run the same command with --resume."
            ) from error
        named = {name}
        for path in trainer.checkpoints.names():
            try:
                best = json.loads((path / PROGRESS).read_text(encoding="utf-8"))["best"]
            except (OSError, ValueError, KeyError):
                continue
            named |= {best["file"]} if best else set()
        for path in folder.glob("best-epoch-*.safetensors"):
            if path.name not in named:
                path.unlink()
    accelerator.wait_for_everyone()
    return {"file": name, "epoch": epoch, "score": score, "checksum": digest}


def weights_problem(folder: Path, best: dict) -> str | None:
    """What is wrong with a file of [`save_weights`], or `None`."""
    path = folder / best["file"]
    if not path.is_file():
        return f"{best['file']} is missing"
    if best.get("checksum") not in (None, file_checksum(path)):
        return f"{best['file']} has other contents than were written"
    return None


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Reads what [`save_weights`] wrote."""
    model.load_state_dict(load_file(path), strict=True)


class FinalFolder:
    """Evaluates the chosen model and writes everything a user needs.

    Args:
        trainer (`Trainer`): The run that has ended.
        model (`MotionPatchModel`): With the chosen weights, on the device.
    """

    def __init__(self, trainer, model):
        self.trainer, self.model = trainer, model
        self.towers = TowerPair(model).eval()

    def evaluate(self) -> dict:
        """The results of the run; the test split is read here for the first time."""
        trainer, args = self.trainer, self.trainer.args
        accelerator, progress = trainer.accelerator, trainer.progress
        seconds = progress["seconds"]
        clips_seen = progress["step"] * args.batch_size
        results = {
            "preset": args.preset,
            "seed": args.seed,
            "epochs": args.epochs,
            "steps": progress["step"],
            "chosen_epoch": progress["best"]["epoch"],
            "best_metric": args.best_metric,
            "best_score": progress["best"]["score"],
            "parameters": trainer.num_parameters,
            "num_clips": {split: len(table) for split, table in trainer.tables.items()},
            "left_out": trainer.tables["train"].left_out,
            "num_processes": accelerator.num_processes,
            "device": str(accelerator.device),
            "seconds": dict(seconds),
            "clips_per_second": clips_seen / seconds["training"] if seconds.get("training") else 0.0,
            "history": progress["history"],
            "test": {},
            "evaluation_data": {},
            "versions": versions(),
        }
        with accelerator.autocast():
            protocols = args.protocols[:1] if args.dry_run else args.protocols
            test = trainer.evaluator("test")
            if test is not None:
                results["test"] = test.retrieval(self.towers, accelerator, protocols)
            for item in args.evaluation_data:
                name, figures = self._further(dict(item), args)
                results["evaluation_data"][name] = figures
        return results

    def _further(self, item: dict, args: TrainArguments) -> tuple[str, dict]:
        """Figures on a set that is not trained on: `{name, data_dir, split, task, ...}`."""
        from ..data import load_motion_dataset

        options = {key: value for key, value in item.items() if key not in _EVALUATION_KEYS or key == "num_classes"}
        task, split = item.get("task", "retrieval"), item.get("split", "test")
        data = load_motion_dataset(item["name"], item.get("data_dir"), progress=False, **options)
        if split not in data:
            raise TrainingError(f"`evaluation_data`: {item['name']!r} has no split {split!r} but {', '.join(data)}.")
        name = item.get("label", f"{item['name']}/{split}")
        table = ClipTable()
        table.add(name, data[split])
        trainer = self.trainer
        if task == "retrieval":
            figures = trainer.evaluator("", table=table).retrieval(self.towers, trainer.accelerator, args.protocols)
            return name, figures[name]
        classes = self._classes(item, table)
        template = item.get("template", TEMPLATE)
        captions = setup.caption_table(trainer.processor, args, [template.format(label) for label in classes])
        evaluator = trainer.evaluator("", captions, table=table)
        return name, evaluator.classification(self.towers, trainer.accelerator, classes, template)

    @staticmethod
    def _classes(item: dict, table: ClipTable) -> list[str]:
        if None in table.labels:
            raise TrainingError(f"`evaluation_data`: {item['name']!r} has clips without a `label` to classify.")
        if item["name"] == "babel":
            from ..data import babel_classes

            return list(babel_classes(item.get("num_classes", 60)))
        return sorted(set(table.labels))

    def write(self, results: dict) -> None:
        """Model, processor, code, card, curves and last `results.json`; each file is whole or absent."""
        from ..hub import HubError, export

        trainer, args = self.trainer, self.trainer.args
        figures = {key: results[key] for key in ("test", "evaluation_data")}
        try:
            with without_loading_bars():
                export(
                    self.model.cpu().to(getattr(torch, args.save_dtype)),
                    trainer.processor,
                    trainer.output_dir,
                    description=description(results, args),
                    base_model=base_models(args) or None,
                    metrics=figures if any(figures.values()) else None,
                    recipe={key: value for key, value in args.to_dict().items() if key != "data" or value},
                )
            self._load_as_float32(trainer.output_dir)
            if args.plot:
                plot_curves(trainer.output_dir / "log.jsonl", results["history"], trainer.output_dir / "curves.png")
            write_json(trainer.output_dir / "results.json", results)
        except (OSError, SafetensorError, HubError) as error:
            raise CheckpointError(
                f"The final folder {trainer.output_dir} could not be written: {error} The checkpoints are whole: run the "
                "same command with --resume."
            ) from error
        trainer.say(self._summary(results))
        if args.push_to_hub:
            from ..hub import push_folder

            push_folder(trainer.output_dir, args.hub_model_id)

    @staticmethod
    def _load_as_float32(folder: Path) -> None:
        """Weights stored in half precision are for half the size; they are computed with in float32 unless asked."""
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["dtype"] = "float32"
        write_text(path, json.dumps(config, indent=2) + "\n")

    def _summary(self, results: dict) -> str:
        lines = [f"Chosen: epoch {results['chosen_epoch']}. Written to {self.trainer.output_dir}."]
        for name, protocols in results["test"].items():
            for protocol, figures in protocols.items():
                lines.append(
                    f"test {name} ({protocol}): "
                    + "; ".join(
                        f"{d} "
                        + ", ".join(f"{key} {figures[f'{d}/{key}']:.2f}" for key in ("R@1", "R@5", "R@10", "MedR"))
                        for d in ("t2m", "m2t")
                    )
                )
        for name, figures in results["evaluation_data"].items():
            lines.append(f"{name}: {figures}")
        return "\n".join(lines)


__all__ = ["FinalFolder", "load_weights", "save_weights", "weights_problem"]
