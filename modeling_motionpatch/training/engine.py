"""`TrainArguments` -> a trained model in a folder: the loop over epochs and steps, resumable at every step.

prepare   data, statistics, processor, model; from the newest whole checkpoint where the run goes on
train     for each epoch: plan, for each batch: forward, loss over all processes, backward, step; validate; save
finish    test figures with the chosen weights, final folder, results.json, curves
"""

import math
import shutil
import signal
import time
import warnings
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import DistributedType, ProjectConfiguration, broadcast_object_list, set_seed
from tqdm import tqdm

from ..console import without_loading_bars
from ..data import GENERATED
from ..data.sources import resolve_folder
from ..hub_export import remove_unfinished
from ..modeling_motionpatch import MotionPatchModel
from ..processing_motionpatch import MotionPatchProcessor
from . import setup
from .arguments import TrainArguments, TrainingError
from .batches import steps_per_epoch
from .build import build_model, check_model_settings
from .checkpoints import CheckpointStore
from .clips import ClipTable, MotionStore, load_tables
from .final import FinalFolder, load_weights, save_weights, weights_problem
from .large_batch import cached_step
from .optimization import build_optimizer, freeze_towers, rate_factor, set_learning_rate
from .reporting import StepLog, write_text
from .step import TowerPair, plain_step
from .validation import Evaluator, selection_score


EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: stopped by a signal, all saved, run the same command with --resume
STOP_CHECK_STEPS = 10  # steps between the processes' agreement on whether one of them was told to stop
# Settings that may differ when a run goes on; all others decide its weights.
MAY_CHANGE = {
    *("resume", "overwrite", "keep", "save_every", "keep_checkpoints", "log_every", "trackers", "plot", "progress"),
    *("push_to_hub", "hub_model_id", "output_dir", "points_dir", "points_device", "test_split", "protocols"),
    *("evaluation_data", "save_dtype"),
}


class Trainer:
    """One run.

    Args:
        args (`TrainArguments`): Its settings.

    Example:

    ```python
    >>> from modeling_motionpatch.training import Trainer, resolve_arguments
    >>> Trainer(resolve_arguments("demo", ["output_dir=my-model"])).run()  # doctest: +SKIP
    ```
    """

    def __init__(self, args: TrainArguments):
        check_model_settings(args)
        self.args = args
        self.output_dir = Path(args.output_dir).expanduser()
        try:
            self.accelerator = Accelerator(
                mixed_precision=args.mixed_precision,
                log_with=args.trackers or None,
                project_config=ProjectConfiguration(
                    project_dir=str(self.output_dir), logging_dir=str(self.output_dir)
                ),
            )
        except ValueError as error:  # an unknown tracker, a precision that the device lacks
            raise TrainingError(str(error)) from error
        if args.batch_size % self.accelerator.num_processes:
            raise TrainingError(
                f"`batch_size` is {args.batch_size}, which {self.accelerator.num_processes} processes cannot share "
                "evenly; it counts the pairs of all processes."
            )
        torch.backends.cuda.matmul.allow_tf32 = args.tf32
        self.checkpoints = CheckpointStore(self.output_dir, args.keep)
        self.stop = False
        # What a checkpoint remembers of the run beside weights and generators
        self.progress = {"step": 0, "loss_sum": 0.0, "loss_steps": 0, "history": [], "best": None, "seconds": {}}

    def run(self) -> int:
        """Trains, or goes on training.

        Returns:
            `int`: 0 when the run has finished, `EXIT_INTERRUPTED` (75) when a signal stopped it and all is saved.
        """
        if self._claim_folder():
            self.say(f"The run in {self.output_dir} has finished; pass --overwrite to start anew.")
            return 0
        self.prepare()
        with _Signals(self), warnings.catch_warnings():
            # Of DistributedDataParallel about the class token's gradient (1, 1, D), whose strides mean nothing
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            if not self.train():
                self.say("Stopped by a signal; all is saved. Run the same command with --resume to go on.")
                return EXIT_INTERRUPTED
        self.finish()
        return 0

    @property
    def _fsdp(self) -> bool:
        return self.accelerator.distributed_type == DistributedType.FSDP

    def say(self, text: str) -> None:
        """One line for the reader, from the main process."""
        if self.accelerator.is_main_process:
            tqdm.write(text)

    def bar(self, total: int, title: str, unit: str, initial: int = 0) -> tqdm:
        """The progress bar of the main process."""
        off = not (self.args.progress and self.accelerator.is_main_process)
        return tqdm(total=total, desc=title, unit=unit, initial=initial, disable=off, mininterval=0.5, leave=False)

    # ---------------------------------------------------------------------------------------------------- prepare

    def _claim_folder(self) -> bool:
        """Finds the checkpoint to go on from, or makes sure that nobody's run is overwritten.

        Returns:
            `bool`: whether the run to go on with has finished and removed its checkpoints.
        """
        args, folder = self.args, self.output_dir
        found = [None, {}]  # one process looks, and all go on from the same
        if args.resume and self.accelerator.is_main_process:
            found = list(self.checkpoints.choose())
        self.start, broken = broadcast_object_list(found)
        for name, problem in broken.items():
            self.say(f"{name} is no whole checkpoint and is passed over: {problem}.")
        if broken and self.start is None:
            self.say("There is no whole checkpoint; the run starts anew.")
        if args.resume and self.start is None and (folder / "results.json").exists():
            return True
        used = [name for name in ("results.json", "log.jsonl") if (folder / name).exists()]
        used += [path.name for path in self.checkpoints.names()]
        if self.start is None and used and not args.overwrite and not args.resume:
            raise TrainingError(
                f"`output_dir` {str(folder)!r} holds another run ({used[0]}); pass --resume to go on with it, "
                "--overwrite to start anew, or another output_dir."
            )
        if self.start is not None:
            self._check_resumable(self.start)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            remove_unfinished(folder)
            self.checkpoints.clean(broken)
            if self.start is None:
                self.checkpoints.remove()
                (folder / "results.json").unlink(missing_ok=True)
            write_text(folder / "recipe.yaml", yaml.safe_dump(args.to_dict(), sort_keys=False))
        self.accelerator.wait_for_everyone()
        return False

    def prepare(self) -> None:
        """Loads the data, builds or restores everything."""
        args, accelerator = self.args, self.accelerator
        began = time.perf_counter()
        self.evaluate_only = args.epochs == 0 and args.init_from is not None
        for item in args.evaluation_data:  # read at the end; that a folder is missing is told before the training
            if item["name"] != GENERATED:
                resolve_folder(item["name"], item.get("data_dir"), "the data set")
        with accelerator.main_process_first():  # the first one converts the data, the others map its conversion
            shown = args.progress and accelerator.is_main_process
            self.tables = load_tables(args, progress=shown, test_only=self.evaluate_only)
        self._prepare_data()
        set_seed(args.seed)  # the same weights in every process
        with without_loading_bars():
            model = build_model(args, self.processor)
        freeze_towers(model, args.freeze)
        self.config = model.config
        self.num_parameters = sum(parameter.numel() for parameter in model.parameters())
        if args.gradient_checkpointing:
            setup.checkpoint_activations(model)
        if self._fsdp:
            setup.make_shardable(model)
        towers = TowerPair(model).train()
        if accelerator.num_processes > 1 and self.planner is not None:
            setup.freeze_unreached(towers, self.maker, self.planner)
        if args.compile:
            setup.compile_blocks(model)
        optimizer = build_optimizer(model.to(accelerator.device), args)
        self.towers, self.optimizer = accelerator.prepare(towers, optimizer)
        set_seed(args.seed, device_specific=True)  # processes draw different dropout
        if self.start is not None:
            self._restore(self.start)
        step = self.progress["step"]
        self.log = StepLog(self.output_dir / "log.jsonl", step) if accelerator.is_main_process else None
        if args.trackers:
            accelerator.init_trackers("motionpatch", config=_flat(args.to_dict()))
        self.progress["seconds"].setdefault("preparing", time.perf_counter() - began)
        counts = ", ".join(f"{len(table)} {split}" for split, table in self.tables.items() if len(table))
        self.say(
            f"Clips: {counts or 'none'}. {self.num_parameters / 1e6:.1f} M parameters. {self.total_steps} steps of "
            f"{args.batch_size} pairs" + (f", going on from step {step}." if self.start else ".")
        )

    def _prepare_data(self) -> None:
        """Processor, points, captions, and how many steps there are."""
        args, accelerator, tables = self.args, self.accelerator, self.tables
        folder = self.checkpoints.folder / "processor"
        if accelerator.is_main_process and self.start is None:
            setup.build_processor(args, tables).save_pretrained(folder)
        accelerator.wait_for_everyone()
        self.processor = MotionPatchProcessor.from_pretrained(folder)
        self.planner = self.maker = self.validation = None
        self.steps_per_epoch, self.total_steps = 1, 0
        if self.evaluate_only:
            return
        captions = setup.caption_table(self.processor, args, setup.training_texts(args, tables))
        count = len(tables["train"]) * (2 if args.mirror else 1) + len(tables["validation"])
        with self.bar(count, "Joints to patches", "clip") as bar, setup.in_turn(accelerator, args.points_dir):
            self.planner, self.maker = setup.training_batches(
                args, self.processor, tables["train"], captions, accelerator, bar
            )
            self.validation = self.evaluator("validation", captions, bar)
        setup.place_points(self.maker.store, args, accelerator.device)
        self.steps_per_epoch = steps_per_epoch(self.planner.num_clips, args)
        limits = [limit for limit in (args.max_steps, 1 if args.dry_run else None) if limit is not None]
        self.total_steps = min([self.steps_per_epoch * args.epochs, *limits])

    def evaluator(self, split: str, captions=None, bar=None, table: ClipTable | None = None) -> Evaluator | None:
        """What evaluates a split; its captions are tokenised here where they are not in `captions`."""
        table = self.tables[split] if table is None else table
        if not len(table):
            return None
        store = MotionStore.build(self.processor.feature_extractor, table, self.args, bar=bar)
        setup.place_points(store, self.args, self.accelerator.device)
        captions = captions or setup.caption_table(self.processor, self.args, [item[0] for item in table.captions])
        return Evaluator(table, store, captions, self.args)

    def _check_resumable(self, path: Path) -> None:
        """Raises where the run to go on with has other settings."""
        progress = self.checkpoints.read_progress(path)
        if progress.get("fsdp", False) != self._fsdp:
            kind = "FSDP" if progress.get("fsdp") else "processes without FSDP"
            raise TrainingError(
                f"The run in {str(self.output_dir)!r} was saved by {kind}, whose checkpoints others cannot read; launch it "
                "as before, or pass --overwrite to start anew."
            )
        before, now = progress["arguments"], self.args.to_dict()
        changed = [key for key in now if key not in MAY_CHANGE and before.get(key) != now[key]]
        if changed:
            raise TrainingError(
                f"The run in {str(self.output_dir)!r} has {changed[0]}={before.get(changed[0])!r}, not "
                f"{now[changed[0]]!r}; go on with the same settings, or pass --overwrite to start anew."
            )

    def _restore(self, path: Path) -> None:
        """Everything as it was when the checkpoint was written."""
        progress = self.checkpoints.load(self.accelerator, path)
        for key in ("arguments", "fsdp"):
            progress.pop(key, None)
        if progress.pop("num_processes") != self.accelerator.num_processes:
            self.say("The number of processes has changed: the clips keep their order, dropout will differ.")
        problem = progress["best"] and weights_problem(self.checkpoints.folder, progress["best"])
        if problem:
            self.say(
                f"The best weights so far are lost ({problem}), those of epoch {progress['best']['epoch']}; the run goes on "
                "and chooses among the epochs that follow."
            )
            progress["best"] = None
        self.progress = progress

    # ---------------------------------------------------------------------------------------------------- train

    def train(self) -> bool:
        """The loop; `False` when it was told to stop."""
        args, progress = self.args, self.progress
        self.began = time.perf_counter()
        self.loss_sum = torch.tensor(progress["loss_sum"], dtype=torch.float64, device=self.accelerator.device)
        with self.bar(self.total_steps, "Training", "step", progress["step"]) as bar:
            while progress["step"] < self.total_steps:
                epoch, first = divmod(progress["step"], self.steps_per_epoch)
                plan = self.planner.plan(epoch)
                last = min(len(plan), self.total_steps - epoch * self.steps_per_epoch)
                bar.set_description(f"Epoch {epoch + 1}/{args.epochs}")
                for index, batch in setup.prefetch(self.maker, plan, range(first, last)):
                    self._step(batch, bar)
                    ends = index + 1 == last
                    if not ends and self._told_to_stop(progress["step"]):
                        self._save()
                        return False
                    if not ends and args.save_every and progress["step"] % args.save_every == 0:
                        self._save()
                self._end_epoch(epoch + 1)
                if self._told_to_stop() and progress["step"] < self.total_steps:
                    return False
        return True

    def _step(self, batch, bar) -> None:
        args, progress, accelerator = self.args, self.progress, self.accelerator
        factor = rate_factor(progress["step"], self.total_steps, args.schedule, args.warmup)
        set_learning_rate(self.optimizer, factor)
        run = cached_step if args.chunk_size is not None and len(batch.parts) > 1 else plain_step
        loss = run(self.towers, batch, args, self.config.loss_reduction, accelerator)
        if args.max_grad_norm is not None:
            accelerator.clip_grad_norm_(self.towers.parameters(), args.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss_sum += loss
        progress["step"] += 1
        progress["loss_steps"] += 1
        bar.update()
        if progress["step"] % args.log_every == 0:
            value = self._finite(loss.item())
            bar.set_postfix(loss=f"{value:.3f}")
            if self.log:
                self.log.write({"step": progress["step"], "loss": value, "rate_factor": factor})
            if args.trackers:
                accelerator.log({"train/loss": value, "train/rate_factor": factor}, step=progress["step"])

    def _finite(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is {loss} at step {self.progress['step']}. Lower the learning rates, use bf16 instead of fp16, "
                "or set max_grad_norm; --resume goes on from the last checkpoint."
            )
        return loss

    def _end_epoch(self, epoch: int) -> None:
        """Loss of the epoch, validation, best weights, checkpoint."""
        args, progress = self.args, self.progress
        entry = {
            "epoch": epoch,
            "step": progress["step"],
            "loss": self.loss_sum.item() / max(progress["loss_steps"], 1),
        }
        self._finite(entry["loss"])  # before these weights are saved
        self.loss_sum.zero_()
        progress["loss_steps"] = 0
        self._count_time("training")
        done = progress["step"] >= self.total_steps
        if self.validation is not None and (epoch % args.eval_every == 0 or done):
            entry["validation"] = self.validation.retrieval(self.towers, self.accelerator)
            entry["score"] = selection_score(entry["validation"], args.best_metric)
            if self.args.trackers:
                self.accelerator.log(_flat(entry["validation"], "validation"), step=progress["step"])
        self._count_time("validation")
        progress["history"].append(entry)
        best = progress["best"]
        better = "score" in entry and (best is None or entry["score"] > best["score"])
        if better or (done and best is None):  # without validation: the last weights
            progress["best"] = save_weights(self, epoch, entry.get("score"))
        figures = [
            f"{name}: t2m R@1 {v['all']['t2m/R@1']:.2f} R@10 {v['all']['t2m/R@10']:.2f}, "
            f"m2t R@1 {v['all']['m2t/R@1']:.2f} R@10 {v['all']['m2t/R@10']:.2f}"
            for name, v in entry.get("validation", {}).items()
        ]
        self.say("; ".join([f"epoch {epoch}: loss {entry['loss']:.4f}", *figures]) + (" *" if better else ""))
        self._save()

    def _save(self) -> None:
        self._count_time("training")
        self.progress["loss_sum"] = self.loss_sum.item()
        state = {
            **self.progress,
            "arguments": self.args.to_dict(),
            "num_processes": self.accelerator.num_processes,
            "fsdp": self._fsdp,
        }
        self.checkpoints.save(self.accelerator, state)
        self._count_time("saving")

    def _count_time(self, kind: str) -> None:
        """Adds the time since the last call to one kind."""
        now = time.perf_counter()
        seconds = self.progress["seconds"]
        seconds[kind] = seconds.get(kind, 0.0) + now - self.began
        self.began = now

    def _told_to_stop(self, step: int = 0) -> bool:
        """Whether any process was told to stop; several ask each other every few steps only."""
        if self.accelerator.num_processes == 1:
            return self.stop
        if step % STOP_CHECK_STEPS:
            return False
        told = torch.tensor([float(self.stop)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(told, "sum").item())

    # ---------------------------------------------------------------------------------------------------- finish

    def finish(self) -> dict:
        """Chosen weights, test figures, final folder; returns the results."""
        accelerator = self.accelerator
        self._count_time("saving")
        if self.progress["best"] is None:  # no step was asked for
            self.progress["best"] = save_weights(self, 0, None)
        best = self.progress["best"]
        self.towers, self.optimizer = accelerator.free_memory(self.towers, self.optimizer)
        model = MotionPatchModel(self.config)
        load_weights(model, self.checkpoints.folder / best["file"])
        folder = FinalFolder(self, model.to(accelerator.device).eval())
        results = folder.evaluate()
        if accelerator.is_main_process:
            folder.write(results)
            if not self.args.keep_checkpoints:
                shutil.rmtree(self.checkpoints.folder, ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.end_training()  # closes trackers and the process group
        return results


class _Signals:
    """SIGTERM and SIGINT ask the trainer to stop after the step; a second SIGINT interrupts at once."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        self.before: dict = {}

    def __enter__(self):
        for kind in (signal.SIGTERM, signal.SIGINT):
            try:
                self.before[kind] = signal.signal(kind, self._ask)
            except ValueError:  # not the main thread: whoever runs us handles signals
                break
        return self

    def _ask(self, kind, frame):
        if self.trainer.stop and kind == signal.SIGINT:
            raise KeyboardInterrupt
        self.trainer.stop = True

    def __exit__(self, *error):
        for kind, handler in self.before.items():
            signal.signal(kind, handler)


def _flat(values: dict, prefix: str = "") -> dict:
    """Nested values -> `{"a/b": number or text}`, as trackers take them."""
    result = {}
    for key, value in values.items():
        name = f"{prefix}/{key}" if prefix else str(key)
        if isinstance(value, dict):
            result |= _flat(value, name)
        else:
            result[name] = value if isinstance(value, (int, float, str, bool)) else str(value)
    return result


__all__ = ["EXIT_INTERRUPTED", "Trainer"]
