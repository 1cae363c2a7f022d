"""The state of a run -> folders that are whole or absent: written aside, checked, renamed, rotated, found again.

`checkpoints/step-00001234/` holds what Accelerate saves (weights, optimizer, gradient scaler), `rng-R.pt` of every process
R, `progress.json`, and last `complete.json` with the size and checksum of every other file. A folder gets its name after
all of it is on the disk; one whose contents differ from `complete.json` is not taken for a checkpoint.
"""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from .arguments import TrainingError


FOLDER, PREFIX, PARTIAL, MARKER, PROGRESS = "checkpoints", "step-", ".partial-", "complete.json", "progress.json"
_BLOCK = 1 << 20  # bytes read at a time for a checksum


class CheckpointError(TrainingError):
    """A checkpoint that could not be written or read."""


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        output_dir (`Path`): The run's folder.
        keep (`int`): Whole checkpoints to keep.
    """

    def __init__(self, output_dir: Path, keep: int = 2):
        self.folder = Path(output_dir) / FOLDER
        self.keep = keep

    def names(self) -> list[Path]:
        """Folders with a checkpoint's name, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if path.name.startswith(PREFIX))

    def newest(self) -> Path | None:
        """The newest whole checkpoint; broken ones are passed over."""
        return self.choose()[0]

    def choose(self) -> tuple[Path | None, dict[str, str]]:
        """The newest whole checkpoint, and what is wrong with those after it, by their names."""
        broken = {}
        for path in reversed(self.names()):
            problem = damage(path)
            if problem is None:
                return path, broken
            broken[path.name] = problem
        return None, broken

    def clean(self, broken: Iterable[str] = ()) -> None:
        """Removes what interrupted writing and removing left behind, and checkpoints that were found broken."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name.startswith(PARTIAL) or path.name in broken:
                    shutil.rmtree(path, ignore_errors=True)
            self._rotate(self.keep)

    def save(self, accelerator, progress: dict) -> Path:
        """Writes a checkpoint; called by all processes.

        Raises:
            CheckpointError: It could not be written (a full disk, say). What was there before is still there.
        """
        path = self.folder / f"{PREFIX}{progress['step']:08d}"
        work = self.folder / f"{PARTIAL}{path.name}"
        if accelerator.is_main_process:
            self.clean()
            self.folder.mkdir(parents=True, exist_ok=True)
        accelerator.wait_for_everyone()
        error = self._write(accelerator, work, progress)
        if error is not None and accelerator.num_processes == 1 and len(self.names()) > 1:
            self._rotate(keep=1)  # room may be all that is missing
            error = self._write(accelerator, work, progress)
        if error is not None:
            shutil.rmtree(work, ignore_errors=True)
            newest = self.newest()
            raise CheckpointError(
                f"The checkpoint of step {progress['step']} could not be written to {self.folder} ({error}). "
                + (f"The last whole one is {newest}. " if newest else "There is none before it. ")
                + "Make room and run the same command with --resume."
            ) from error
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            if path.exists():  # the same step, saved again: after a resume, or at the end of an epoch
                shutil.rmtree(path)
            os.replace(work, path)
            sync(self.folder)
            self._rotate(self.keep)
        accelerator.wait_for_everyone()
        return path

    def _write(self, accelerator, work: Path, progress: dict) -> Exception | None:
        try:
            accelerator.save_state(str(work))
            torch.save(random_states(), work / f"rng-{accelerator.process_index}.pt")
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                _write_json(work / PROGRESS, progress)
                files = sorted(file for file in work.rglob("*") if file.is_file())
                for file in files:
                    sync(file)
                sums = {str(f.relative_to(work)): [f.stat().st_size, file_checksum(f)] for f in files}
                _write_json(work / MARKER, {"step": progress["step"], "files": sums})
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
            if not _is_disk_error(error):
                raise
            return error
        return None

    def load(self, accelerator, path: Path) -> dict:
        """Restores weights, optimizer and generators of every process; returns the progress."""
        problem = damage(path)
        if problem:
            raise CheckpointError(f"{path} is no whole checkpoint: {problem}.")
        accelerator.load_state(str(path))
        states = path / f"rng-{accelerator.process_index}.pt"
        if states.is_file():
            restore_random_states(torch.load(states, weights_only=True))
        return self.read_progress(path)

    @staticmethod
    def read_progress(path: Path) -> dict:
        """What a checkpoint says of the run, without its weights."""
        return json.loads((path / PROGRESS).read_text(encoding="utf-8"))

    def _rotate(self, keep: int) -> None:
        """Removes all before the last `keep` whole ones: older ones, and what an interrupted removal left of them."""
        whole = [path for path in self.names() if not damage(path, quick=True)]
        for path in self.names():
            if path in whole[:-keep] or (path not in whole and path < max(whole, default=path)):
                shutil.rmtree(path, ignore_errors=True)

    def remove(self) -> None:
        """Removes all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)


def damage(path: Path, quick: bool = False) -> str | None:
    """What is wrong with a checkpoint, or `None`; `quick` compares sizes and no checksums."""
    try:
        files = json.loads((path / MARKER).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MARKER} is missing or unreadable, so it was not written to its end"
    for name, (size, checksum) in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes instead of {size}"
        if not quick and file_checksum(file) != checksum:
            return f"{name} has other contents than were written"
    return None


def random_states() -> dict:
    """The generators of Python, numpy and torch in this process, as what `torch.load(weights_only=True)` reads."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    states = {
        "python": [version, torch.tensor(words), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state(torch.cuda.current_device())
    return states


def restore_random_states(states: dict) -> None:
    """Puts the generators of this process back to where [`random_states`] found them."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"], torch.cuda.current_device())


def _is_disk_error(error: BaseException) -> bool:
    if isinstance(error, (OSError, SafetensorError)):
        return True
    text = str(error).lower()
    return any(sign in text for sign in ("no space", "file too large", "unexpected pos", "write", "i/o", "iostream"))


def file_checksum(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Has the operating system put a file, or a folder's list of names, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if path.is_file():
            raise
    finally:
        os.close(handle)


def _write_json(path: Path, content: dict) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


__all__ = [
    "CheckpointError",
    "CheckpointStore",
    "damage",
    "file_checksum",
    "random_states",
    "restore_random_states",
    "sync",
]
