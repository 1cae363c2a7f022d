"""Embeddings -> figures: retrieval by five named protocols, zero-shot classification, generated motion."""

from .bootstrap import bootstrap_intervals
from .checks import EvaluationError
from .classification import ClassificationMetrics, classification_metrics, zero_shot_classification_metrics
from .generation import (
    diversity,
    frechet_distance,
    generation_metrics,
    multimodal_distance,
    multimodality,
    r_precision,
)
from .loading import EVALUATE_MODULES, load_metric
from .protocols import PROTOCOLS, retrieval_metrics, retrieval_metrics_from_similarity
from .ranks import TIE_RULES, ranks_from_similarity
from .results import RetrievalMetrics, average_runs, format_retrieval_table


__all__ = [
    "EVALUATE_MODULES",
    "PROTOCOLS",
    "TIE_RULES",
    "ClassificationMetrics",
    "EvaluationError",
    "RetrievalMetrics",
    "average_runs",
    "bootstrap_intervals",
    "classification_metrics",
    "diversity",
    "format_retrieval_table",
    "frechet_distance",
    "generation_metrics",
    "load_metric",
    "multimodal_distance",
    "multimodality",
    "r_precision",
    "ranks_from_similarity",
    "retrieval_metrics",
    "retrieval_metrics_from_similarity",
    "zero_shot_classification_metrics",
]
