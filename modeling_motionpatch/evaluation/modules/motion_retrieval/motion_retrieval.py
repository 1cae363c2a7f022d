"""`evaluate` module: embeddings of text-motion pairs -> R@k in per cent and median rank, in both directions."""

import datasets
import evaluate

from modeling_motionpatch.evaluation import retrieval_metrics


_DESCRIPTION = """
Text-to-motion (t2m) and motion-to-text (m2t) retrieval of n pairs by one of five named protocols: "all" (an item with
the identical caption counts; the protocol of Motion Patches), "all_strict", "threshold", "dissimilar" and
"small_batches". Figures of different protocols must not be compared.
"""

_KWARGS_DESCRIPTION = """
Args:
    text_embeds (`list` of `list` of `float`, n x D): row i is the text of pair i.
    motion_embeds (`list` of `list` of `float`, n x D): row i is the motion of pair i.
    captions (`list` of `str`, n, optional): the caption that each text embedding was made of; "all" and
        "small_batches" need them.
    protocol (`str`, defaults to "all"): the protocol.
    **options: the other keyword arguments of `modeling_motionpatch.retrieval_metrics`.
Returns:
    "t2m/R@1", ..., "t2m/MedR", "m2t/R@1", ..., "m2t/MedR": R@k in per cent, MedR in ranks from 1.
    "protocol" (`str`), "num_pairs" and "num_queries" (`int`), and with `confidence=` "intervals" (`dict`).
"""

_CITATION = """
@inproceedings{yu2024motionpatches,
  title={Exploring Vision Transformers for 3D Human Motion-Language Models with Motion Patches},
  author={Yu, Qing and Tanaka, Mikihiro and Fujiwara, Kent},
  booktitle={CVPR},
  year={2024}
}
"""


class MotionRetrieval(evaluate.Metric):
    def _info(self):
        embedding = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[
                datasets.Features({"text_embeds": embedding, "motion_embeds": embedding, "captions": caption})
                for caption in (datasets.Value("string"), datasets.Value("null"))
            ],
        )

    def add_batch(self, *, text_embeds, motion_embeds, captions=None):
        """Adds some pairs to the stack."""
        if captions is None:  # allowed: the protocols that need them say so
            captions = [None] * len(text_embeds)
        super().add_batch(text_embeds=text_embeds, motion_embeds=motion_embeds, captions=captions)

    def add(self, *, text_embeds, motion_embeds, captions=None):
        """Adds one pair to the stack."""
        super().add(text_embeds=text_embeds, motion_embeds=motion_embeds, captions=captions)

    def _compute(self, text_embeds, motion_embeds, captions, protocol="all", **options):
        captions = None if captions[0] is None else captions
        metrics = retrieval_metrics(text_embeds, motion_embeds, captions, protocol, **options)
        result = {
            **metrics,
            "protocol": metrics.label,
            "num_pairs": metrics.num_pairs,
            "num_queries": metrics.num_queries,
        }
        if metrics.intervals:
            result["intervals"] = metrics.intervals
        return result
