"""Takes -> windows with embeddings, in one go or in shards that survive a kill and are shared among processes.

Takes are numbered in a fixed order (files by name, rows and lists as they come). Shard s holds the takes
`s * SHARD_TAKES` to `(s + 1) * SHARD_TAKES - 1`, and belongs to process `s % num_processes`. A shard is a file that
appears when it is complete, so that whoever comes back makes only those which are not there.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..embedding_motionpatch import as_motion_lists, cut_take, encode_clips, window_frames
from .identity import ModelIdentity
from .sources import Take, printable
from .storage import GalleryError, Windows, read_shard, write_json, write_shard


logger = logging.getLogger(__name__)

SHARD_TAKES = 256  # a kill loses at most the work of so many
POLL_SECONDS = 0.5
PLAN = "plan.json"
LAUNCHED = "TORCHELASTIC_RUN_ID"  # of `accelerate launch` and `torchrun`, whose processes outlive a killed launcher


class OtherBuildError(GalleryError):
    """The folder of unfinished shards belongs to another build."""


def embed_takes(
    model,
    processor,
    takes: Sequence[Take],
    *,
    skeleton=None,
    fps: float | None = None,
    window: float | None = None,
    stride: float | None = None,
    batch_size: int = 32,
    bar=None,
) -> tuple[Windows, list[tuple[str, str]], list[tuple[str, str]]]:
    """Takes -> their windows, (name, reason) of those that could not be read, and (name, note) of those cut.

    Args:
        model (`MotionPatchModel` or `MotionPatchMotionModelWithProjection`): Makes the embeddings.
        processor (`MotionPatchProcessor` or `MotionPatchFeatureExtractor`): Makes the patches.
        takes (`Sequence[Take]`): From [`takes_of`].
        skeleton, fps (*optional*): For takes that do not say.
        window, stride (`float`, *optional*): Seconds, see [`window_frames`].
        batch_size (`int`, *optional*, defaults to 32): Windows a forward pass.
        bar (*optional*): A tqdm bar, moved by one a take.

    Raises:
        ValueError: A take that was given as an array cannot be read.
    """
    extractor = getattr(processor, "feature_extractor", processor)
    frames, step = window_frames(extractor, window, stride)
    rows: list[tuple] = []
    skipped: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []

    def clips():
        for take in takes:
            try:
                joints, own_skeleton, own_fps = take.read()
                arrays, skeletons, rates = as_motion_lists(
                    extractor,
                    [joints],
                    skeleton if own_skeleton is None else own_skeleton,
                    fps if own_fps is None else own_fps,
                )
                name = take.where or "motion"
                spans, windows = cut_take(extractor, arrays[0], skeletons[0], rates[0], frames, step, name)
            except (ValueError, OSError) as error:
                if not take.optional:
                    raise
                skipped.append((take.where, printable(str(error)) or type(error).__name__))
                continue
            finally:
                if bar is not None:
                    bar.update(1)
            if take.note:
                notes.append((take.where, take.note))
            for (start, end), clip in zip(spans, windows):
                rows.append((take.id, start, end, take.captions, take.source))
                yield clip

    embeddings = encode_clips(model, extractor, clips(), batch_size)
    ids, starts, ends, captions, sources = ([row[column] for row in rows] for column in range(5))
    windows = Windows(ids, np.asarray(starts, float), np.asarray(ends, float), captions, sources, embeddings)
    return windows, skipped, notes


# --------------------------------------------------------------------------------------------------------------------
# Shards


class ShardedBuild:
    """A build that writes shards into a folder.

    Args:
        folder (`str` or `os.PathLike`): Where the shards go; all processes have to see it.
        takes (`Sequence[Take]`): All takes, the same in every process.
        identity (`ModelIdentity`): Whose embeddings these are.
        dtype (`str`): Of the stored embeddings.
        settings (`dict`): Arguments of [`embed_takes`].

    Raises:
        OtherBuildError: The folder holds shards of another build.
    """

    def __init__(self, folder, takes: Sequence[Take], identity: ModelIdentity, dtype: str, settings: dict):
        self.folder, self.takes, self.dtype, self.dim = Path(folder), takes, dtype, identity.dim
        self.settings = settings
        self.num_shards = -(-len(takes) // SHARD_TAKES)
        self._check_plan(identity)

    def _check_plan(self, identity: ModelIdentity) -> None:
        frames = {name: self.settings.get(name) for name in ("window", "stride", "skeleton", "fps")}
        frames["skeleton"] = None if frames["skeleton"] is None else str(frames["skeleton"])
        model = {name: value for name, value in identity.to_dict().items() if name != "name"}
        listing = hashlib.sha256()
        for take in self.takes:
            listing.update(json.dumps([str(take.id), take.source, take.stamp(), take.captions]).encode())
        plan = {
            "takes": listing.hexdigest(),
            "model": hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest(),
            "dtype": self.dtype,
            "shard_takes": SHARD_TAKES,
            **frames,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / PLAN
        if path.is_file():
            earlier = json.loads(path.read_text(encoding="utf-8"))
            changed = [name for name, value in plan.items() if earlier.get(name) != value]
            if changed:
                raise OtherBuildError(
                    f"{self.folder} holds the shards of another build: {', '.join(changed)} changed since. Delete the "
                    "folder, or give another `resume_dir`."
                )
        else:
            write_json(path, plan)

    def path(self, shard: int) -> Path:
        """File of a shard."""
        return self.folder / f"shard-{shard:05d}-of-{self.num_shards:05d}.arrow"

    def missing(self) -> list[int]:
        """Shards that no process has finished yet."""
        return [shard for shard in range(self.num_shards) if not self.path(shard).is_file()]

    def share(self, process_index: int, num_processes: int) -> int:
        """Number of takes that belong to a process."""
        shards = range(process_index, self.num_shards, num_processes)
        return sum(min(SHARD_TAKES, len(self.takes) - shard * SHARD_TAKES) for shard in shards)

    def run(self, model, processor, process_index: int, num_processes: int, bar=None) -> None:
        """Makes this process's share of the missing shards."""
        for shard in range(process_index, self.num_shards, num_processes):
            takes = self.takes[shard * SHARD_TAKES : (shard + 1) * SHARD_TAKES]
            if self.path(shard).is_file():
                if bar is not None:
                    bar.update(len(takes))
                continue
            windows, skipped, notes = embed_takes(model, processor, takes, bar=bar, **self.settings)
            write_shard(self.path(shard), [windows], self.dim, self.dtype, skipped, notes)

    def wait(self) -> None:
        """Returns when the other processes have finished their shares, too.

        The launcher ends all processes when one of them fails, so this does not wait for the dead.

        Raises:
            GalleryError: The launcher itself was killed.
        """
        told, launcher = False, os.getppid()
        while missing := self.missing():
            if not told:
                logger.info("Waiting for %d shards of other processes in %s.", len(missing), self.folder)
                told = True
            time.sleep(POLL_SECONDS)
            if LAUNCHED in os.environ and os.getppid() != launcher:
                raise GalleryError(
                    f"The launcher was ended, so {len(missing)} shards of other processes in {self.folder} may never come; "
                    "run the same build again."
                )

    def collect(self) -> tuple[list[Windows], list[tuple[str, str]], list[tuple[str, str]]]:
        """All windows in the order of the takes, mapped into memory, and what was left out and noted."""
        missing = self.missing()
        if missing:
            raise GalleryError(
                f"{self.folder}: {len(missing)} of {self.num_shards} shards are missing (the first: {missing[:5]}); run "
                "the same build again to make them."
            )
        types = {str(take.id): take.id for take in self.takes}
        whole_numbers = any(isinstance(value, int) for value in types.values())
        parts, skipped, notes = [], [], []
        for shard in range(self.num_shards):
            windows, left_out, noted = read_shard(self.path(shard), self.dim)
            for part in windows:
                if whole_numbers:  # shards hold ids as text
                    part.ids = [types[value] for value in part.ids]
                parts.append(part)
            skipped += [tuple(item) for item in left_out]
            notes += [tuple(item) for item in noted]
        return parts, skipped, notes


def launched_processes() -> tuple[int, int]:
    """(index of this process, number of processes) under `accelerate launch` or `torchrun`; `(0, 1)` otherwise."""
    try:
        index, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    except ValueError:
        return 0, 1
    return (index, count) if 0 <= index < count else (0, 1)
