"""A batch of clips and captions -> one training step: seconds, achieved FLOP/s, memory; against the official loop.

    python -m benchmarks.training_step --official ../MotionPatches --size vit-base --batch-size 256
    python -m benchmarks.training_step --processes 2

| side | what is timed |
| --- | --- |
| official | its loop: data loader, tokenizer, model in float32, loss, Adam, scheduler, `loss.item()` |
| ours | our loop: plan, batch, model (`--precision`), loss, gradient clipping, AdamW |
| ours_step_alone | the same on one batch that is there already: the difference to `ours` is what the data costs |
| ours_one_part | `length_chunks=1`: cut to the longest clip of the batch alone, where `ours` has several parts |

Same sizes, same clips with HumanML3D's lengths, same captions, every pair seen once. FLOP are those that the products
of the step need after padding has been cut off (`model`), and those of the official step (`official_model`): the first
over the time is the rate achieved, compared with that of one large matrix product measured here.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from . import common, models


LEARNING_RATE = 1e-4


def matmul_rate(device: str, seconds: float = 0.5) -> dict[str, float]:
    """FLOP/s of one large matrix product, the best of several runs, by dtype."""
    import torch

    size = 8192 if device == "cuda" else 1024
    rates = {}
    for name in ("bfloat16", "float32") if common.has_bfloat16(device) else ("float32",):
        a, b = torch.randn(2, size, size, device=device, dtype=getattr(torch, name))
        a @ b
        best, spent = float("inf"), 0.0
        while spent < seconds:
            wall, _ = common.timed(lambda a=a, b=b: a @ b, device)
            best, spent = min(best, wall), spent + wall
        rates[name] = 2 * size**3 / best
    return rates


def count_flop(run) -> int:
    """FLOP of the products that a call makes, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


class OurLoop:
    """Our training loop over clips in memory, without files around it."""

    def __init__(self, options, motions, captions, length_chunks: int):
        import torch
        from accelerate import Accelerator
        from accelerate.utils import set_seed

        from modeling_motionpatch import get_skeleton
        from modeling_motionpatch.training import TowerPair, TrainArguments
        from modeling_motionpatch.training.batches import BatchMaker, Planner
        from modeling_motionpatch.training.captions import CaptionTable
        from modeling_motionpatch.training.clips import MotionStore
        from modeling_motionpatch.training.optimization import build_optimizer

        on_gpu = options.device == "cuda"
        self.accelerator = Accelerator(mixed_precision=options.precision, cpu=not on_gpu)
        self.args = TrainArguments(
            data={"name": "generated"},
            batch_size=options.batch_size,
            length_chunks=length_chunks,
            lr_motion=LEARNING_RATE,
            lr_text=LEARNING_RATE,
            lr_heads=LEARNING_RATE,
            compile=options.compile,
        )
        _, processor = models.make_processors(motions, captions)
        extractor = processor.feature_extractor
        clips = [extractor.joints_to_points(motion).transpose(0, 2, 1) for motion in motions]
        points = torch.from_numpy(np.concatenate(clips))
        store = MotionStore(extractor, points, [len(clip) for clip in clips], [get_skeleton("smpl22")] * len(clips))
        if on_gpu:
            store.to(self.accelerator.device)
        table = CaptionTable(captions, processor.tokenizer, 77)
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        self.maker = BatchMaker(store, table, self.args, self.accelerator.device, rank, world)
        self.planner = Planner(store, [[table.index[caption]] for caption in captions], self.args)
        set_seed(options.seed)
        model = models.make_model(options.size, options.seed).to(self.accelerator.device)
        self.reduction = model.config.loss_reduction
        if options.compile:
            from modeling_motionpatch.training.setup import compile_blocks

            compile_blocks(model)
        towers = TowerPair(model).train()
        optimizer = build_optimizer(model, self.args)
        self.towers, self.optimizer = self.accelerator.prepare(towers, optimizer)

    def step(self, batch) -> None:
        """Forward, backward, update."""
        from modeling_motionpatch.training import plain_step

        plain_step(self.towers, batch, self.args, self.reduction, self.accelerator)
        self.accelerator.clip_grad_norm_(self.towers.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def epoch(self, number: int = 0) -> None:
        """All batches of an epoch."""
        plan = self.planner.plan(number)
        for index in range(len(plan)):
            self.step(self.maker.make(plan, index))


class OfficialLoop:
    """The official training loop over the same clips."""

    def __init__(self, code, options, motions, captions, folder: str):
        import torch
        from torch.utils.data import DataLoader

        preset, _ = models.make_processors(motions, captions)
        self.tokenizer, self.device = preset.tokenizer, options.device
        dataset, self.note = models.official_dataset(code, motions, captions, folder, preset.feature_extractor)
        self.loader = DataLoader(dataset, batch_size=options.batch_size, shuffle=True, drop_last=True)
        ours = models.make_model(options.size, options.seed)
        self.model = models.make_official(code, options.size, ours).to(self.device).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 10_000)

    def epoch(self) -> None:
        """One pass, as in its script."""
        from .official_side import train_epoch

        train_epoch(self.model, self.tokenizer, self.loader, self.optimizer, self.scheduler, self.device)


def peak_memory(device: str, run) -> float:
    """GiB: allocated on the device at most during a call, or of this process until now."""
    import resource

    import torch

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run()
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    run()
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def run(options) -> dict:
    """Times all sides at one batch size; see the module."""
    clips = options.batch_size * options.steps
    motions = models.lengths_and_clips(clips, options.seed)
    captions = common.made_up_captions(clips, options.seed, distinct=clips)
    ours = OurLoop(options, motions, captions, options.length_chunks)
    one_part = OurLoop(options, motions, captions, 1) if options.length_chunks != 1 else None
    batch = ours.maker.make(ours.planner.plan(0), 0)

    def fixed():
        for _ in range(options.steps):
            ours.step(batch)

    sides = {"ours": ours.epoch, "ours_step_alone": fixed}
    if one_part is not None:
        sides["ours_one_part"] = one_part.epoch
    memory = {"ours": peak_memory(options.device, lambda: ours.step(batch))}
    note = None
    code = common.official_code(options)
    with tempfile.TemporaryDirectory() as folder:
        if code is not None:
            official = OfficialLoop(code, options, motions, captions, folder)
            note, sides = official.note, {"official": official.epoch, **sides}
            memory["official"] = peak_memory(options.device, official.epoch)
        flop = {"model": count_flop(lambda: ours.step(batch))}
        if code is not None:
            flop["official_model"] = count_flop(official.epoch) // options.steps
        times = common.interleave(sides, options.repeats, options.device)

    rates = matmul_rate(options.device)
    medians = {name: float(np.median(side["wall_s"])) / options.steps for name, side in times.items()}
    achieved = flop["model"] / medians["ours_step_alone"]
    dtype = {"bf16": "bfloat16", "no": "float32"}[options.precision]
    rate = rates.get(dtype)
    return {
        "claim": "training_step",
        "goal": "6 times the official loop on the same H200 and at least 40 % of its measured bf16 matrix rate, batch 256",
        "size": options.size,
        "device": options.device,
        "batch_size": options.batch_size,
        "official_input": note,
        "dtype_of_ours": f"{dtype} autocast" if options.precision == "bf16" else dtype,
        "step_s": {name: round(value, 5) for name, value in medians.items()},
        "sides": common.summary(times, clips, "clips"),
        "ratio": {
            "official/ours": common.ratios(times, "official", "ours"),
            "ours_one_part/ours": common.ratios(times, "ours_one_part", "ours"),
        },
        "data_share_percent": round(100 * (1 - medians["ours_step_alone"] / medians["ours"]), 1),
        "epoch_s_of_20000_clips": {
            name: round(value * 20_000 / options.batch_size, 2) for name, value in medians.items()
        },
        "peak_memory_gib": memory,
        "tflop_per_step": {name: round(value / 1e12, 3) for name, value in flop.items()},
        "matmul_tflops": {name: round(value / 1e12, 3) for name, value in rates.items()},
        "achieved_tflops": round(achieved / 1e12, 3),
        "achieved_percent_of_matmul": round(100 * achieved / rate, 1) if rate else None,
    }


def worker(options) -> None:
    """One process of several: prints the seconds of a step from the first of them."""
    clips = options.batch_size * options.steps
    motions = models.lengths_and_clips(clips, options.seed)
    captions = common.made_up_captions(clips, options.seed, distinct=clips)
    loop = OurLoop(options, motions, captions, options.length_chunks)
    times = common.interleave({"ours": loop.epoch}, options.repeats, options.device)
    if loop.accelerator.is_main_process:
        print(json.dumps({"step_s": float(np.median(times["ours"]["wall_s"])) / options.steps}))
    loop.accelerator.end_training()


def several_processes(options) -> dict:
    """The same global batch on 1 and on several processes; on one machine's cores they share what one has."""
    result = {}
    for count in (1, options.processes):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        command += ["-m", "benchmarks.training_step", "--worker", "--device", options.device, "--size", options.size]
        for name in ("batch_size", "steps", "repeats", "length_chunks", "seed", "precision"):
            command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if options.device == "cpu":
            environment["ACCELERATE_USE_CPU"] = "true"
        done = subprocess.run(command, cwd=common.ROOT, env=environment, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines:
            raise RuntimeError(f"{count} processes: {done.stderr[-2000:]}")
        result[count] = json.loads(lines[-1])["step_s"]
    return {
        "claim": "training_step, several processes, one thread each",
        "size": options.size,
        "batch_size": options.batch_size,
        "step_s": {str(count): round(value, 4) for count, value in result.items()},
        "ratio": {f"1/{options.processes}": round(result[1] / result[options.processes], 2)},
    }


def main(arguments=None) -> dict | None:
    """Command line."""
    parser = common.parser(__doc__, repeats=3)
    parser.add_argument("--size", choices=tuple(models.SIZES), help="default: vit-base on a GPU, vit-tiny on a CPU")
    parser.add_argument("--batch-size", type=int, help="default: 256 on a GPU, 32 on a CPU")
    parser.add_argument("--steps", type=int, help="an epoch's; default: 8 on a GPU, 1 on a CPU")
    parser.add_argument("--length-chunks", type=int, help="of ours; default: 1 on a GPU, 4 on a CPU")
    parser.add_argument(
        "--precision", choices=("no", "bf16", "auto"), help="of ours; default: auto on a GPU, no on a CPU"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile of our transformer blocks")
    parser.add_argument("--processes", type=int, help="compare one process with so many, instead of both sides")
    parser.add_argument("--worker", action="store_true", help="used by --processes")
    options = parser.parse_args(arguments)
    common.start(options)
    on_gpu = options.device == "cuda"
    options.size = options.size or ("vit-base" if on_gpu else "vit-tiny")
    options.batch_size = options.batch_size or (256 if on_gpu else 32)
    options.steps = options.steps or (8 if on_gpu else 1)
    options.length_chunks = options.length_chunks or (1 if on_gpu else 4)
    options.precision = options.precision or ("auto" if on_gpu else "no")
    if options.precision == "auto":
        options.precision = "bf16" if common.has_bfloat16(options.device) else "no"
    if options.worker:
        worker(options)
        return None
    return common.emit(several_processes(options) if options.processes else run(options), options)


if __name__ == "__main__":
    main()
