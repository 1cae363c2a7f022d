"""Sizes by name -> our model and the official one with the same random weights, a tokenizer and a processor."""

import tempfile
from pathlib import Path

import numpy as np

from . import common


# name -> (timm ViT, its width, its arguments, DistilBERT's arguments)
SIZES = {
    "tiny-test": (
        "vit_tiny_patch16_224",
        192,
        {"depth": 1},
        {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64},
    ),
    "vit-tiny": (
        "vit_tiny_patch16_224",
        192,
        {},
        {"dim": 256, "n_layers": 4, "n_heads": 4, "hidden_dim": 1024},
    ),
    "vit-base": ("vit_base_patch16_224", 768, {}, {"dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072}),
}
VOCAB_SIZE = 30522  # of distilbert-base-uncased; the table of embeddings counts in the optimizer's step
DROPOUT = 0.5


def make_tokenizer(captions):
    """A WordPiece tokenizer of made-up captions."""
    from modeling_motionpatch.training import train_tokenizer

    return train_tokenizer(captions, 2000)


def make_text_config(size: str):
    """DistilBERT of that size."""
    from transformers import DistilBertConfig

    small = size == "tiny-test"
    return DistilBertConfig(vocab_size=2000 if small else VOCAB_SIZE, **SIZES[size][3])


def make_model(size: str, seed: int = 0):
    """Ours, with random weights."""
    import torch

    from modeling_motionpatch import MotionPatchConfig, MotionPatchModel

    vit, _, kwargs, _ = SIZES[size]
    torch.manual_seed(seed)
    config = MotionPatchConfig(
        motion_config={"architecture": vit, "architecture_kwargs": kwargs},
        text_config=make_text_config(size).to_dict(),
        projection_dropout=DROPOUT,
    )
    return MotionPatchModel(config).eval()


def make_official(code, size: str, model):
    """The official class with the weights of `model`."""
    from transformers import AutoModel

    vit, width, kwargs, _ = SIZES[size]
    with tempfile.TemporaryDirectory() as folder:
        AutoModel.from_config(model.config.text_config).save_pretrained(folder)
        official = code.ClipModel(
            vit,
            folder,
            motion_encoder_pretrained=False,
            motion_embedding_dims=width,
            text_embedding_dims=model.config.text_config.dim,
            projection_dims=model.config.projection_dim,
            dropout=DROPOUT,
        )
    if kwargs:  # a smaller ViT than timm's, for tests
        import timm

        official.motion_encoder.model = timm.create_model(
            vit, pretrained=False, num_classes=0, global_pool="avg", img_size=(224, 80), **kwargs
        )
    names = {
        "motion_model.vit.": "motion_encoder.model.",
        "text_model.": "text_encoder.text_model.",
        "motion_projection.": "motion_projection.",
        "text_projection.": "text_projection.",
    }
    state = {"logit_scale": model.logit_scale.detach().clone()}
    for key, value in model.state_dict().items():
        for ours, theirs in names.items():
            if key.startswith(ours):
                state[theirs + key.removeprefix(ours)] = value
    official.load_state_dict(state, strict=True)
    return official.eval()


def make_processors(motions, captions):
    """Two processors with one tokenizer: the official preset, and the default with padding masked."""
    from modeling_motionpatch import MotionPatchFeatureExtractor, MotionPatchProcessor

    frames = np.concatenate(motions)
    tokenizer = make_tokenizer(captions)
    preset = MotionPatchFeatureExtractor.official(frames.mean(axis=0), frames.std(axis=0))
    return MotionPatchProcessor(preset, tokenizer), MotionPatchProcessor(
        MotionPatchFeatureExtractor().fit(motions), tokenizer
    )


def official_dataset(code, motions, captions, folder: str, extractor):
    """Clips as the official data set gives them, one at a time: `(caption, (3, 224, 80), length, index)`.

    Through its own class where OpenCV and einops are installed, else patches of the official preset, kept in memory:
    that spares it the preparation and one conversion a clip.
    """
    from .official_code import OfficialCodeError
    from .official_data import write_official_folder

    clips = [
        {"id": f"{i:06d}", "joints": motion, "captions": [caption], "split": "train"}
        for i, (motion, caption) in enumerate(zip(motions, captions))
    ]
    write_official_folder(folder, clips)
    np.save(Path(folder) / "Mean_raw.npy", extractor.mean)
    np.save(Path(folder) / "Std_raw.npy", extractor.std)
    try:
        return code.dataset(folder, "train"), "its data set class"
    except OfficialCodeError:
        return PreparedClips(motions, captions, extractor), "patches in memory (OpenCV or einops is not installed)"


class PreparedClips:
    """Stands in for the official data set where what it imports is missing."""

    def __init__(self, motions, captions, extractor):
        self.points = [np.ascontiguousarray(extractor.joints_to_points(motion)) for motion in motions]
        self.captions = captions

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int):
        import torch

        points = self.points[index][:224]
        padding = np.zeros((224 - len(points), *points.shape[1:]), dtype=np.float32)
        values = torch.tensor(np.concatenate((points, padding))).float()
        return self.captions[index], values.permute(2, 0, 1), len(points), index


def lengths_and_clips(count: int, seed: int):
    """Clips with HumanML3D's lengths."""
    return common.made_up_motions(common.humanml3d_lengths(count, seed), seed)
