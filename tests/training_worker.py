"""Runs trainings that are killed, stopped, starved of disk or spread over processes: each in a fork of this process.

    python tests/training_worker.py JOBS.json

The file holds a list of `{"recipe", "arguments", "world", "fsdp", "kill_at", "term_at", "kill_in_save_at",
"kill_in_export", "file_limit_at", "spoil"}`; exit statuses are written beside it. A fork costs no second import; this process does nothing but import and fork.
"""

import gc
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path


os.environ.update(OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="true", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import accelerate  # noqa: E402
import datasets  # noqa: E402, F401
import torch  # noqa: E402
import yaml  # noqa: E402

from modeling_motionpatch import data, evaluation, hub_export  # noqa: E402, F401
from modeling_motionpatch.training import engine, main  # noqa: E402
from modeling_motionpatch.training.recipes import find_recipe  # noqa: E402


FILE_LIMIT = 2000  # bytes a file may have when the disk is "full": less than any weights


def train(job: dict) -> int:
    """In the fork: the training, with the interruption built in."""
    step = engine.Trainer._step

    def interrupted_step(trainer, *arguments):
        step(trainer, *arguments)
        done = trainer.progress["step"]
        if done == job.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if done == job.get("term_at"):
            os.kill(os.getpid(), signal.SIGTERM)
        if done == job.get("file_limit_at"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, resource.RLIM_INFINITY))
        if done == job.get("kill_in_save_at"):
            save_state = accelerate.Accelerator.save_state

            def killed_save(*arguments, **options):
                save_state(*arguments, **options)
                os.kill(os.getpid(), signal.SIGKILL)

            accelerate.Accelerator.save_state = killed_save

    engine.Trainer._step = interrupted_step
    if job.get("kill_in_export"):

        def killed_publish(work, folder):
            os.replace(work / "config.json", folder / "config.json")
            os.kill(os.getpid(), signal.SIGKILL)

        hub_export._publish = killed_publish
    if job.get("fsdp"):
        shard_on_cpu()
    return main.main(["--recipe", job["recipe"], *job.get("arguments", [])])


def shard_on_cpu() -> None:
    """What `accelerate launch --config_file recipes/accelerate/fsdp.yaml` sets, and FSDP on CPUs.

    Accelerate makes FSDP of processes with GPUs alone, though torch's FSDP and gloo need none: the processes say that
    they have one, and that it is called cpu.
    """
    os.environ |= {"ACCELERATE_USE_FSDP": "true", "ACCELERATE_USE_CPU": "false"}
    settings = yaml.safe_load(find_recipe("accelerate/fsdp").read_text())["fsdp_config"]
    settings["fsdp_transformer_cls_to_wrap"] = settings.pop("fsdp_transformer_layer_cls_to_wrap")
    os.environ |= {key.upper(): str(value) for key, value in settings.items()}
    state = accelerate.state.PartialState
    state._prepare_backend = lambda *_, **__: ("gloo", accelerate.utils.DistributedType.MULTI_GPU)
    state.set_device = lambda self: setattr(self, "device", torch.device("cpu"))


def spoil(folder: str) -> None:
    """Cuts the weights of the newest checkpoint."""
    newest = sorted(Path(folder).glob("checkpoints/step-*"))[-1] / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])


def run(job: dict) -> list[int]:
    """Forks the job's processes; returns their exit codes, negative for a signal."""
    world = job.get("world", 1)
    if "spoil" in job:
        spoil(job["spoil"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            if world > 1:
                os.environ.update(
                    MASTER_ADDR="127.0.0.1",
                    MASTER_PORT=str(port),
                    RANK=str(rank),
                    LOCAL_RANK=str(rank),
                    WORLD_SIZE=str(world),
                    LOCAL_WORLD_SIZE=str(world),
                )
            code = 1
            try:
                code = train(job)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    codes = {}
    for _ in range(world):
        child, status = os.wait()
        codes[child] = os.waitstatus_to_exitcode(status)
        if codes[child] < 0:  # as a launcher does: one is gone, the others are ended
            for other in children:
                if other not in codes:
                    os.kill(other, signal.SIGKILL)
    return [codes[child] for child in children]


if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # or every collection of a fork would walk through all that was imported
    path = Path(sys.argv[1])
    statuses = []
    for entry in json.loads(path.read_text()):
        statuses.append(run(entry))
        path.with_suffix(".statuses").write_text(json.dumps(statuses))
