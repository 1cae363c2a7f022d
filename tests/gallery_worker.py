"""Builds galleries with processes that are killed at random moments, until they are finished.

    python tests/gallery_worker.py JOBS.json

The file holds a list of `{"motions", "model", "shards", "output", "processes", "kills", "seed"}`; each gets the number of
shards at its kills, `seen`, and the exit `codes` of the last run. Processes are forks of this one, which costs no second
import.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path


os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import datasets  # noqa: E402, F401
import torch  # noqa: E402

from modeling_motionpatch import MotionGallery, MotionPatchModel, MotionPatchProcessor  # noqa: E402
from modeling_motionpatch.retrieval import build  # noqa: E402


torch.set_num_threads(1)
build.SHARD_TAKES, build.POLL_SECONDS = 3, 0.05


def index(job: dict, rank: int) -> None:
    """In the fork: one process's share of the build; the first saves the gallery."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(job["processes"]))
    model = MotionPatchModel.from_pretrained(job["model"]).eval()
    processor = MotionPatchProcessor.from_pretrained(job["model"])
    gallery = MotionGallery.build(model, processor, job["motions"], resume_dir=job["shards"], progress=False)
    if rank == 0:
        gallery.save(job["output"])


def start(job: dict) -> list[int]:
    """Forks the processes and returns their ids."""
    children = []
    for rank in range(job["processes"]):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                index(job, rank)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    return children


def run(job: dict) -> None:
    """Kills the build `kills` times, then lets it finish."""
    rng, shards = random.Random(job["seed"]), Path(job["shards"])
    seen = []
    for _ in range(job["kills"]):
        before = len(list(shards.glob("shard-*")))
        children = start(job)
        ends = time.monotonic() + 1.5  # where all shards are there already
        wanted = before + rng.randint(0, 2)  # more shards than before, or none
        while len(list(shards.glob("shard-*"))) < wanted and time.monotonic() < ends:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.15))
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
        seen.append(len(list(shards.glob("shard-*"))))
    job["seen"], job["codes"] = seen, [os.waitpid(child, 0)[1] for child in start(job)]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    jobs = json.loads(place.read_text())
    for each in jobs:
        run(each)
    place.write_text(json.dumps(jobs))
