"""Text and 3D human motion in one space: Motion Patches (CVPR 2024) as a Hugging Face model package.

The import registers the configurations, models and processors with transformers' Auto classes and the pipeline tasks
`"motion-retrieval"` and `"zero-shot-motion-classification"`; it reads no network. What lies around the core (files,
data sets, galleries, evaluation) is imported when it is first used.
"""

import importlib

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor

from .configuration_motionpatch import MotionPatchConfig, MotionPatchMotionConfig
from .convert_motionpatch import convert_official_checkpoint
from .feature_extraction_motionpatch import MotionPatchFeatureExtractor
from .geometry_motionpatch import MotionInputError
from .loss_motionpatch import contrastive_loss
from .modeling_motionpatch import (
    MotionPatchModel,
    MotionPatchMotionModelWithProjection,
    MotionPatchMotionOutput,
    MotionPatchOutput,
    MotionPatchPreTrainedModel,
    MotionPatchTextModelWithProjection,
    MotionPatchTextOutput,
)
from .motion_tower_motionpatch import MotionPatchMotionModel
from .pipeline_motionpatch import (
    MotionRetrievalPipeline,
    ZeroShotMotionClassificationPipeline,
    register_pipelines,
)
from .processing_motionpatch import MotionPatchProcessor
from .skeletons_motionpatch import (
    BODY_PARTS,
    Skeleton,
    SkeletonError,
    get_skeleton,
    known_skeletons,
    register_skeleton,
)


__version__ = "0.1.0"

_LAZY = {  # public name -> module that has it
    "Hit": ".gallery",
    "GalleryError": ".gallery",
    "MotionGallery": ".gallery",
    "localize": ".retrieval.localization",
    "encode_motion": ".embedding_motionpatch",
    "encode_text": ".embedding_motionpatch",
    "fast_dtype": ".embedding_motionpatch",
    "MotionDataError": ".data",
    "babel_classes": ".data",
    "iter_motions": ".data",
    "load_motion_dataset": ".data",
    "prepare_dataset": ".data",
    "generate_motions": ".data.generated",
    "MOTION_SUFFIXES": ".io",
    "Motion": ".io",
    "MotionFileError": ".io",
    "canonicalize": ".io",
    "find_motion_files": ".io",
    "load_motion": ".io",
    "save_motion": ".io",
    "RetrievalMetrics": ".evaluation",
    "classification_metrics": ".evaluation",
    "generation_metrics": ".evaluation",
    "load_metric": ".evaluation",
    "retrieval_metrics": ".evaluation",
    "zero_shot_classification_metrics": ".evaluation",
    "render_animation": ".rendering",
    "render_html": ".rendering",
    "render_patches": ".rendering",
    "render_strip": ".rendering",
}

__all__ = [
    "BODY_PARTS",
    "MotionInputError",
    "MotionPatchConfig",
    "MotionPatchFeatureExtractor",
    "MotionPatchModel",
    "MotionPatchMotionConfig",
    "MotionPatchMotionModel",
    "MotionPatchMotionModelWithProjection",
    "MotionPatchMotionOutput",
    "MotionPatchOutput",
    "MotionPatchPreTrainedModel",
    "MotionPatchProcessor",
    "MotionPatchTextModelWithProjection",
    "MotionPatchTextOutput",
    "MotionRetrievalPipeline",
    "Skeleton",
    "SkeletonError",
    "ZeroShotMotionClassificationPipeline",
    "contrastive_loss",
    "convert_official_checkpoint",
    "get_skeleton",
    "known_skeletons",
    "register_skeleton",
    *_LAZY,
]


def __getattr__(name: str):
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name], __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


AutoConfig.register(MotionPatchMotionConfig.model_type, MotionPatchMotionConfig, exist_ok=True)
AutoConfig.register(MotionPatchConfig.model_type, MotionPatchConfig, exist_ok=True)
AutoModel.register(MotionPatchMotionConfig, MotionPatchMotionModel, exist_ok=True)
AutoModel.register(MotionPatchConfig, MotionPatchModel, exist_ok=True)
AutoFeatureExtractor.register(MotionPatchConfig, MotionPatchFeatureExtractor, exist_ok=True)
AutoProcessor.register(MotionPatchConfig, MotionPatchProcessor, exist_ok=True)
# What is saved carries its code along, so that `trust_remote_code=True` opens it where this package is not installed.
MotionPatchConfig.register_for_auto_class()
MotionPatchModel.register_for_auto_class("AutoModel")
MotionPatchFeatureExtractor.register_for_auto_class()
MotionPatchProcessor.register_for_auto_class()
register_pipelines()
