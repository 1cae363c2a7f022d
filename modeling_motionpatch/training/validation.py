"""A model and the clips of a split -> embeddings of every clip and first caption, and their retrieval figures.

Evaluation reads each clip from frame 0 and its first caption (as the official code). Every process embeds its share.
"""

from collections.abc import Sequence

import numpy as np
import torch

from ..loss_motionpatch import gather_with_gradient
from .arguments import TrainArguments
from .captions import CaptionTable
from .clips import ClipTable, MotionStore


RECALLS = ("R@1", "R@5", "R@10")
DIRECTIONS = ("t2m", "m2t")


class Evaluator:
    """Embeds one split.

    Args:
        table (`ClipTable`): The clips.
        store (`MotionStore`): Their points.
        captions (`CaptionTable`): Has the first caption of each clip, among others.
    """

    def __init__(self, table: ClipTable, store: MotionStore, captions: CaptionTable, args: TrainArguments):
        self.table, self.store, self.captions, self.args = table, store, captions, args
        self.texts = [item[0] for item in table.captions]

    def embed_motions(self, towers, accelerator, limit: int | None = None) -> torch.Tensor:
        """Unit-length embeddings `(n, P)` of the clips, float32, on the CPU."""
        lengths = self.store.lengths[:limit]

        def batch(rows):
            values, mask = self.store.batch(rows, np.zeros_like(rows), lengths[rows], accelerator.device)
            inputs = (
                {"motion_values": values} if mask is None else {"motion_values": values, "motion_attention_mask": mask}
            )
            return towers([(inputs, None)])[0]

        return _embed(batch, lengths, self.args.eval_batch_size, towers, accelerator)

    def embed_texts(self, towers, accelerator, texts: Sequence[str] | None = None) -> torch.Tensor:
        """Unit-length embeddings of texts, each distinct one embedded once; the clips' first captions by default."""
        texts = self.texts if texts is None else list(texts)
        distinct, order = np.unique([self.captions.index[text] for text in texts], return_inverse=True)
        lengths = self.captions.lengths[distinct]

        def batch(rows):
            ids, mask = self.captions.batch(distinct[rows], accelerator.device)
            return towers([(None, {"input_ids": ids, "attention_mask": mask})])[1]

        return _embed(batch, lengths, self.args.eval_batch_size, towers, accelerator)[torch.from_numpy(order)]

    def retrieval(self, towers, accelerator, protocols: Sequence[str] = ("all",)) -> dict[str, dict[str, dict]]:
        """Figures by data set and protocol: `{"humanml3d": {"all": {"t2m/R@1": ...}}}`."""
        from ..evaluation import retrieval_metrics

        limit = self.args.eval_batch_size if self.args.dry_run else None
        motions = self.embed_motions(towers, accelerator, limit).numpy()
        texts = self.embed_texts(towers, accelerator, self.texts[:limit]).numpy()
        source = np.array(self.table.source)[:limit]
        result: dict[str, dict[str, dict]] = {}
        for index, name in enumerate(self.table.names):
            rows = np.flatnonzero(source == index)
            captions = [self.texts[row] for row in rows]
            for protocol in protocols:
                if protocol == "small_batches" and len(rows) < SMALL_BATCH:
                    continue
                figures = retrieval_metrics(texts[rows], motions[rows], captions, protocol=protocol)
                result.setdefault(name, {})[figures.label] = dict(figures)
        return result

    def classification(self, towers, accelerator, classes: Sequence[str], template: str) -> dict[str, float]:
        """Zero-shot top-1 and top-5 of the clips' labels among `classes` (paper, Table 6)."""
        from ..evaluation import zero_shot_classification_metrics

        motions = self.embed_motions(towers, accelerator).numpy()
        texts = self.embed_texts(towers, accelerator, [template.format(name) for name in classes]).numpy()
        return dict(zero_shot_classification_metrics(motions, texts, self.table.labels, class_names=list(classes)))


SMALL_BATCH = 32  # pairs of the protocol `small_batches`


@torch.no_grad()
def _embed(batch, lengths: np.ndarray, batch_size: int, towers, accelerator) -> torch.Tensor:
    """Rows in order of length, dealt out to the processes, embedded, gathered and put back in order."""
    world, rank = accelerator.num_processes, accelerator.process_index
    order = np.argsort(lengths, kind="stable")
    # All processes make the same number of forward passes (FSDP needs that): the share is filled up by repeating.
    share = -(-len(order) // world)
    padded = np.resize(order, share * world)
    own = padded[rank::world]
    training = towers.training
    towers.eval()
    embeds = torch.cat([batch(own[i : i + batch_size]).float() for i in range(0, len(own), batch_size)])
    towers.train(training)
    gathered = gather_with_gradient(embeds).cpu()
    # Row j of process r is padded[r + j * world].
    gathered = gathered.unflatten(0, (world, share)).transpose(0, 1).flatten(0, 1)[: len(order)]
    result = torch.empty_like(gathered)
    result[torch.from_numpy(order)] = gathered
    return result


def selection_score(figures: dict[str, dict[str, dict]], metric: str) -> float:
    """The number that chooses the checkpoint, the mean over data sets; higher is better.

    `"mean_recall"` is the mean of R@1, R@5 and R@10 in both directions, `"mean_r1"` that of R@1: on a validation split
    of hundreds of clips R@1 alone moves by chance.
    """
    scores = []
    for by_protocol in figures.values():
        values = by_protocol["all"]
        if metric == "mean_recall":
            scores.append(np.mean([values[f"{direction}/{recall}"] for direction in DIRECTIONS for recall in RECALLS]))
        elif metric == "mean_r1":
            scores.append(np.mean([values[f"{direction}/R@1"] for direction in DIRECTIONS]))
        else:
            scores.append(-values[metric] if metric.endswith("MedR") else values[metric])
    return float(np.mean(scores))


__all__ = ["Evaluator", "selection_score"]
