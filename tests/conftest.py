"""Fixtures that several test files share: tiny models, a trained tokenizer, random motions, the folder of real data."""

import os
from pathlib import Path


os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before the first import of huggingface_hub: no test reads the network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
import torch


torch.set_num_threads(1)

FIXTURES = Path(__file__).parent / "fixtures"
GOLDEN = FIXTURES / "golden"
SHARED = Path(__file__).resolve().parents[2] / "shared"

needs_shared = pytest.mark.skipif(
    not (SHARED / "mocap").is_dir(), reason="real motion capture is not beside the project"
)

TINY_VIT = {"embed_dim": 32, "depth": 2, "num_heads": 2}
TINY_TEXT = {
    "model_type": "distilbert",
    "vocab_size": 200,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 64,
    "max_position_embeddings": 64,
}


def tiny_config(motion: dict | None = None, **kwargs):
    """A `MotionPatchConfig` of about 50,000 parameters."""
    from modeling_motionpatch import MotionPatchConfig

    settings = {"text_config": dict(TINY_TEXT), "projection_dim": 16, **kwargs}
    return MotionPatchConfig(motion_config={"architecture_kwargs": dict(TINY_VIT), **(motion or {})}, **settings)


def random_motion(num_frames: int = 60, num_joints: int = 22, seed: int = 0) -> np.ndarray:
    """Finite joints in metres around a drifting root; no skeleton's proportions."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(size=(1, num_joints, 3)) * 0.4
    drift = np.cumsum(rng.normal(size=(num_frames, 1, 3)) * 0.02, axis=0)
    return (rest + drift + rng.normal(size=(num_frames, num_joints, 3)) * 0.02).astype(np.float32)


@pytest.fixture
def tiny_model():
    from modeling_motionpatch import MotionPatchModel

    torch.manual_seed(0)
    return MotionPatchModel(tiny_config()).eval()


@pytest.fixture(scope="session")
def tokenizer():
    """A WordPiece tokenizer of a few dozen words, made here."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = "a person the man walks runs waves kicks jumps with left right hand leg forward twice slowly and then sits"
    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words.split()])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


@pytest.fixture
def processor(tokenizer):
    from modeling_motionpatch import MotionPatchFeatureExtractor, MotionPatchProcessor

    extractor = MotionPatchFeatureExtractor().fit([random_motion(seed=seed) for seed in range(3)])
    return MotionPatchProcessor(extractor, tokenizer)
