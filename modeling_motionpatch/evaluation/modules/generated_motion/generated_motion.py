"""`evaluate` module: embeddings of texts and of motions generated from them -> R-precision, distances, FID, diversity."""

import datasets
import evaluate

from modeling_motionpatch.evaluation import generation_metrics


_DESCRIPTION = """
Scores of a text-to-motion generator on the embeddings of a text-motion model: R-precision (batches of 32), multimodal
distance, diversity, and with real motions FID, with several motions a text multimodality.
"""

_KWARGS_DESCRIPTION = """
Args:
    text_embeds (`list` of `list` of `float`, n x D): the texts.
    motion_embeds (`list` of `list` of `float`, n x D): row i is the motion generated from text i.
    reference_embeds (array m x D, optional, for `compute`): real motions; adds "FID" and "diversity_reference".
    multimodal_embeds (array texts x samples x D, optional, for `compute`): adds "multimodality".
    **options: the other keyword arguments of `modeling_motionpatch.evaluation.generation_metrics`.
Returns:
    "R_precision_top1", "R_precision_top2", "R_precision_top3" from 0 to 1, "multimodal_distance", "diversity", ...
"""

_CITATION = """
@inproceedings{guo2022generating,
  title={Generating Diverse and Natural 3D Human Motions from Text},
  author={Guo, Chuan and Zou, Shihao and Zuo, Xinxin and Wang, Sen and Ji, Wei and Li, Xingyu and Cheng, Li},
  booktitle={CVPR},
  year={2022}
}
"""


class GeneratedMotion(evaluate.Metric):
    def _info(self):
        embedding = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"text_embeds": embedding, "motion_embeds": embedding}),
        )

    def _compute(self, text_embeds, motion_embeds, **options):
        return generation_metrics(text_embeds, motion_embeds, **options)
