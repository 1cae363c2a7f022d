"""(seed, epoch) -> which clips, captions and windows make each batch; the same on every machine, at any time.

The plan of an epoch is a pure function of the seed and the epoch's number. Every process knows the whole plan and takes
its rows of each batch: resuming needs no state of a sampler, two processes see exactly what one would see, and a pair's
caption id or a rule about pairs of captions needs no communication.
"""

from dataclasses import dataclass

import numpy as np
import torch

from .arguments import TrainArguments
from .captions import CaptionTable
from .clips import MotionStore


@dataclass
class Plan:
    """An epoch: arrays of the same length, cut into batches at `bounds`."""

    clips: np.ndarray  # rows of the MotionStore
    captions: np.ndarray  # rows of the CaptionTable
    starts: np.ndarray  # first frame of the window
    frames: np.ndarray  # length of the window
    bounds: np.ndarray  # (steps + 1,)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def rows(self, step: int, rank: int = 0, world: int = 1) -> np.ndarray:
        """Positions of this process's pairs of a batch; one contiguous share each, in the order of the ranks."""
        return np.array_split(np.arange(self.bounds[step], self.bounds[step + 1]), world)[rank]


@dataclass
class Batch:
    """One process's pairs, in parts that the towers read one after the other.

    `parts[i]` is `(motion inputs or None, text inputs or None)`; the last one has both. The towers' outputs, one after
    the other, are put in the order of the pairs by `motion_order` and `text_order` (which repeats a caption that
    several pairs share).
    """

    parts: list[tuple[dict | None, dict | None]]
    motion_order: torch.Tensor  # (B,)
    text_order: torch.Tensor  # (B,)
    caption_ids: torch.Tensor  # (B,)
    ignore: torch.Tensor | None  # (B of all processes,) * 2, pairs that are no negatives

    def __len__(self) -> int:
        return len(self.caption_ids)


def steps_per_epoch(num_clips: int, args: TrainArguments) -> int:
    """Batches of an epoch; at least one, also where all clips do not fill it."""
    full, rest = divmod(num_clips, args.batch_size)
    return max(full + bool(rest and not args.drop_last), 1)


class Planner:
    """Draws the plan of each epoch.

    Args:
        store (`MotionStore`): Of the training clips; with mirrored ones behind them where `args.mirror` is set.
        clip_captions (`list[list[int]]`): Rows of the caption table for each clip of the store.
    """

    def __init__(self, store: MotionStore, clip_captions: list[list[int]], args: TrainArguments):
        self.store, self.args = store, args
        self.counts = np.array([len(captions) for captions in clip_captions])
        self.first = np.concatenate([[0], np.cumsum(self.counts)])[:-1]
        self.captions = np.concatenate([np.asarray(captions) for captions in clip_captions])
        self.num_clips = len(store) // 2 if args.mirror else len(store)

    def plan(self, epoch: int) -> Plan:
        """The batches of an epoch, counted from 0."""
        args = self.args
        random = np.random.default_rng([args.seed, epoch])
        # Drawn for all clips whether they are used or not, so that switching one option leaves the other draws alone.
        order, chosen, first, share, flip = random.permutation(self.num_clips), *random.random((4, self.num_clips))
        steps = steps_per_epoch(self.num_clips, args)
        bounds = np.minimum(np.arange(steps + 1) * args.batch_size, self.num_clips)
        clips = order[: bounds[-1]]
        chosen, first, share, flip = (draw[clips] for draw in (chosen, first, share, flip))
        clips = clips + self.num_clips * (flip < args.mirror)
        pick = np.floor(chosen * self.counts[clips]).astype(np.int64) if args.captions == "random" else 0
        lengths = self.store.lengths[clips]
        frames = lengths
        if args.sub_crop < 1:
            frames = np.ceil(lengths * (args.sub_crop + (1 - args.sub_crop) * share)).astype(np.int64)
        frames = np.minimum(frames, self.store.extractor.max_frames)
        starts = np.zeros_like(lengths)
        if args.random_crop or args.sub_crop < 1:
            starts = np.floor(first * (lengths - frames + 1)).astype(np.int64)
        return Plan(clips, self.captions[self.first[clips] + pick], starts, frames, bounds)


class BatchMaker:
    """Rows of a plan -> tensors on the device.

    Args:
        store (`MotionStore`): Points of the clips.
        table (`CaptionTable`): Tokens of the captions.
        args (`TrainArguments`): `chunk_size`, `length_chunks`, `dedupe_texts`.
        device (`torch.device`): Where batches go.
        rank, world (`int`): This process, and how many there are.
        alike (`Callable`, *optional*): Caption rows `(n,)` -> bool `(n, n)`, pairs that are no negatives.
    """

    def __init__(self, store, table: CaptionTable, args: TrainArguments, device=None, rank=0, world=1, alike=None):
        self.store, self.table, self.args, self.device = store, table, args, device
        self.rank, self.world, self.alike = rank, world, alike

    def make(self, plan: Plan, step: int) -> Batch:
        """This process's part of a batch."""
        rows = plan.rows(step, self.rank, self.world)
        own = len(rows)
        if not own:
            # An incomplete last batch with fewer pairs than processes. This one embeds a pair that it leaves out of the
            # loss, since all processes must pass through the towers together.
            rows = plan.rows(step)[:1]
        captions = plan.captions[rows]
        if self.args.dedupe_texts:
            distinct, text_order = np.unique(captions, return_inverse=True)
        else:
            distinct, text_order = captions, np.arange(len(captions))
        count = self.args.length_chunks
        if self.args.chunk_size is not None:
            count = max(count, -(-len(rows) // self.args.chunk_size))
        count = min(count, len(rows))
        equal = self.args.chunk_size is not None  # parts are then as small as memory asks for
        motion_parts, motion_order = _by_length(self.store.rows(plan.frames[rows]), count, equal)
        text_parts, text_place = _by_length(self.table.lengths[distinct], count, equal)
        parts = []
        for motion, text in zip(motion_parts, text_parts):
            motions = texts = None
            if len(motion):
                where = rows[motion]
                values, mask = self.store.batch(plan.clips[where], plan.starts[where], plan.frames[where], self.device)
                motions = (
                    {"motion_values": values}
                    if mask is None
                    else {"motion_values": values, "motion_attention_mask": mask}
                )
            if len(text):
                ids, mask = self.table.batch(distinct[text], self.device)
                texts = {"input_ids": ids, "attention_mask": mask}
            parts.append((motions, texts))
        ignore = None
        if self.alike is not None:
            everyone = np.arange(plan.bounds[step], plan.bounds[step + 1])
            ignore = torch.from_numpy(self.alike(plan.captions[everyone])).to(self.device)
        return Batch(
            parts,
            torch.from_numpy(motion_order[:own]).to(self.device),
            torch.from_numpy(text_place[text_order][:own]).to(self.device),
            torch.from_numpy(captions[:own]).to(self.device),
            ignore,
        )


def _by_length(lengths: np.ndarray, count: int, equal: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """Positions sorted by length in `count` parts (empty ones first), and where each position went."""
    if count == 1:
        order = np.arange(len(lengths))
    else:
        order = np.argsort(lengths, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    if equal or count == 1:
        sizes = [len(part) for part in np.array_split(order, count)][::-1]  # the last part is never empty
    else:
        sizes = least_padding(lengths[order], count)
    return np.split(order, np.cumsum(sizes)[:-1]), place


def least_padding(lengths: np.ndarray, count: int) -> list[int]:
    """Sizes of `count` parts of sorted lengths, each as long as its longest, that hold the least padding.

    Args:
        lengths (`np.ndarray` of shape `(n,)`): Ascending, n > 0.
        count (`int`): Parts; where fewer do as well, those in front are empty.
    """
    values, counts = np.unique(lengths, return_counts=True)
    ends = np.concatenate([[0], np.cumsum(counts)])
    # Cost of one part from each value to each, then the best of k parts for the first j values, k by k.
    part = np.full((len(ends), len(ends)), np.inf)
    first, last = np.triu_indices(len(ends), 1)
    part[first, last] = (ends[last] - ends[first]) * values[last - 1]
    best = np.where(np.arange(len(ends)) == 0, 0.0, np.inf)
    choices = []
    for _ in range(min(count, len(values))):
        total = best[:, None] + part
        choices.append(total.argmin(axis=0))
        best = total.min(axis=0)
    bounds = [len(values)]
    for choice in reversed(choices):
        bounds.append(int(choice[bounds[-1]]))
    sizes = np.diff(ends[bounds[::-1]]).tolist()
    return [0] * (count - len(sizes)) + sizes


__all__ = ["Batch", "BatchMaker", "Plan", "Planner", "least_padding", "steps_per_epoch"]
