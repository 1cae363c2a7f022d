"""Two or more sides of one claim -> their times, taken in turn, as JSON with ratio, hardware and versions.

Sides are timed in interleaved rounds, in another order each round, and compared round by round: what slows the machine
down for a while slows all of them. Medians are reported, wall-clock time and processor time of this process apart.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np


ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "timm", "transformers", "accelerate", "datasets", "numpy", "faiss-cpu", "opencv-python-headless")
HUMANML3D_FPS = 20.0
HUMANML3D_SECONDS = (2.0, 10.0)  # shortest and longest clip
HUMANML3D_MEAN = 7.1  # [s]


# --------------------------------------------------------------------------------------------------------------------
# Arguments and output


def parser(doc: str, repeats: int = 5) -> argparse.ArgumentParser:
    """The arguments that all scripts have."""
    result = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--official", help="path of a clone of the official repository; without it, that side is skipped"
    )
    result.add_argument("--repeats", type=int, default=repeats, help="interleaved rounds (default: %(default)s)")
    result.add_argument("--threads", type=int, help="threads of torch and OpenCV (default: as they come)")
    result.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: cuda where there is one"
    )
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--output", help="write the JSON to this file, too")
    return result


def start(options: argparse.Namespace) -> None:
    """Settles device and threads of a run."""
    import torch
    from transformers.utils import logging

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.disable_progress_bar()
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.threads:
        torch.set_num_threads(options.threads)
        try:
            import cv2

            cv2.setNumThreads(options.threads)
        except ImportError:
            pass


def official_code(options: argparse.Namespace, with_dataset: bool = False):
    """The official classes, or `None` and a note on standard error where they are not at hand."""
    from benchmarks.official_code import OfficialCode, OfficialCodeError

    if not options.official:
        print("The official side is skipped: --official was not given.", file=sys.stderr)
        return None
    try:
        code = OfficialCode(options.official)
        if with_dataset:
            _ = code.TextMotionPatchDataset  # loaded on first use
        return code
    except OfficialCodeError as error:
        print(f"The official side is skipped: {error}", file=sys.stderr)
        return None


def hardware() -> dict:
    """Processor, memory and accelerator of this machine."""
    import torch

    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    result = {"cpu": model, "cores": cores, "threads": torch.get_num_threads()}
    if hasattr(os, "sysconf"):
        result["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    if hasattr(os, "getloadavg"):
        result["load"] = round(os.getloadavg()[0], 1)  # of others, too: above the number of cores, times are inflated
    if torch.cuda.is_available():
        result["gpu"] = torch.cuda.get_device_name()
        result["gpu_memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
        result["cuda"] = torch.version.cuda
    return result


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def settings_of(options: argparse.Namespace) -> dict:
    """The options of a run, without paths."""
    hidden = ("official", "output", "mocap", "work", "official_results", "files")
    return {name: value for name, value in vars(options).items() if name not in hidden}


def emit(report: Mapping, options: argparse.Namespace) -> dict:
    """Adds hardware and versions, prints the JSON and writes it where `--output` says."""
    report = {**report, "settings": settings_of(options), "hardware": hardware(), "versions": versions()}
    text = json.dumps(report, indent=1, default=_plain)
    if options.output:
        write_text(options.output, text + "\n")
    print(text)
    return json.loads(text)


def write_text(path: str | Path, text: str) -> None:
    """Writes a file that is either whole or absent."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


# --------------------------------------------------------------------------------------------------------------------
# Timing


def interleave(sides: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu", warmup: int = 1) -> dict:
    """Runs every side once a round.

    Args:
        sides (`Mapping[str, Callable]`): Name -> what is timed.
        repeats (`int`): Rounds that count.
        device (`str`): With `"cuda"`, the device is waited for before and after each run.
        warmup (`int`): Rounds before, that do not count.

    Returns:
        `dict[str, dict]`: For each side `wall_s` and `cpu_s`, seconds of each round, in the order of the rounds.
    """
    times = {name: {"wall_s": [], "cpu_s": []} for name in sides}
    names = list(sides)
    for number in range(-warmup, repeats):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            wall, cpu = timed(sides[name], device)
            if number >= 0:
                times[name]["wall_s"].append(wall)
                times[name]["cpu_s"].append(cpu)
    return times


def timed(run: Callable[[], object], device: str = "cpu") -> tuple[float, float]:
    """Wall-clock and processor seconds of one call."""
    wait = (lambda: None) if device == "cpu" else _synchronize
    wait()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wait()
    return time.perf_counter() - wall, time.process_time() - cpu


def _synchronize() -> None:
    import torch

    torch.cuda.synchronize()


def summary(times: Mapping[str, Mapping[str, Sequence[float]]], items: int, unit: str) -> dict[str, dict]:
    """Times of all sides -> medians for each item and items a second."""
    result = {}
    for name, side in times.items():
        wall = statistics.median(side["wall_s"])
        result[name] = {
            f"{unit}_per_s": round(items / wall, 2),
            f"ms_per_{unit.removesuffix('s')}": round(1000 * wall / items, 5),
            f"cpu_ms_per_{unit.removesuffix('s')}": round(1000 * statistics.median(side["cpu_s"]) / items, 5),
            "spread_percent": round(100 * (max(side["wall_s"]) - min(side["wall_s"])) / wall, 1),
        }
    return result


def ratios(
    times: Mapping[str, Mapping[str, Sequence[float]]], slow: str, fast: str, scale: float = 1.0
) -> dict | None:
    """How many times faster `fast` is, the median over the rounds; `None` where a side was skipped.

    `scale` is the items of `fast` over those of `slow`, where they differ.
    """
    if slow not in times or fast not in times:
        return None
    return {
        kind: round(
            scale * statistics.median(a / max(b, 1e-9) for a, b in zip(times[slow][kind], times[fast][kind])), 2
        )
        for kind in ("wall_s", "cpu_s")
    }


def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies bfloat16 natively."""
    import torch

    from modeling_motionpatch.embedding_motionpatch import fast_dtype

    return fast_dtype(device) is torch.bfloat16


# --------------------------------------------------------------------------------------------------------------------
# Made-up input


def humanml3d_lengths(count: int, seed: int = 0) -> np.ndarray:
    """Frames of clips at 20 fps with HumanML3D's lengths: 2 to 10 s, mean 7.1 s, many close to 10 s."""
    low, high = HUMANML3D_SECONDS
    share = (HUMANML3D_MEAN - low) / (high - low)
    seconds = low + (high - low) * np.random.default_rng(seed).beta(2 * share, 2 * (1 - share), size=count)
    return np.maximum(np.round(seconds * HUMANML3D_FPS), 2).astype(int)


def made_up_motions(lengths: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Float32 `(T, 22, 3)` in metres: a body with SMPL's bones that sways and walks. Content does not change the time."""
    rng = np.random.default_rng(seed)
    heights = [0.94, 0.86, 0.86, 1.05, 0.48, 0.48, 1.19, 0.07, 0.07, 1.25, 0.02, 0.02, 1.47, 1.40, 1.40, 1.56]
    heights += [1.40, 1.40, 1.40, 1.40, 1.40, 1.40]
    sides = [0, 0.06, -0.06, 0, 0.1, -0.1, 0, 0.09, -0.09, 0, 0.11, -0.11, 0, 0.08, -0.08, 0, 0.19, -0.19, 0.45, -0.45]
    sides += [0.7, -0.7]
    rest = np.stack([sides, heights, np.zeros(22)], axis=1)
    motions = []
    for frames in lengths:
        seconds = np.arange(frames)[:, None, None] / HUMANML3D_FPS
        phase, rate = rng.uniform(0, 6.28, size=(2, 1, 22, 3))
        walk = seconds * rng.normal(size=(1, 1, 3)) * [1, 0, 1]
        motions.append((rest + walk + 0.02 * np.sin(phase + rate * seconds)).astype(np.float32))
    return motions


def made_up_captions(count: int, seed: int = 0, distinct: int | None = None) -> list[str]:
    """Sentences of 5 to 20 words, the length of HumanML3D's."""
    words = (
        "a person the man walks forward then turns around slowly to left right raises both hands and waves with arm leg "
        "jumps over kicks twice in circle while holding something sits down stands up again runs backward quickly"
    ).split()
    rng = np.random.default_rng(seed)
    distinct = distinct or count
    sentences = [" ".join(rng.choice(words, size=rng.integers(5, 21))) + f" {index}" for index in range(distinct)]
    return [sentences[index % distinct] for index in range(count)]
