"""Arguments and captions -> the processor and the model of a run, fitting each other."""

import contextlib
import copy
import inspect
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.errors import HFValidationError

from ..configuration_motionpatch import MotionPatchConfig, MotionPatchMotionConfig
from ..feature_extraction_motionpatch import OFFICIAL_PART_ORDER, MotionPatchFeatureExtractor
from ..modeling_motionpatch import MotionPatchModel
from ..processing_motionpatch import MAX_TEXT_TOKENS, MotionPatchProcessor
from ..skeletons_motionpatch import Skeleton
from .arguments import TrainArguments, TrainingError, check_keys
from .captions import train_tokenizer


# Arguments of the extractor that follow from the model, so that they cannot contradict it.
_FROM_MODEL = ("patch_size", "max_frames", "input_kind", "num_persons")
_EXTRACTOR_PRESETS = {
    "ours": {},
    "official": {
        "normalization": "joint",
        "interpolation": "half_pixel",
        "padding": "zeros",
        "part_order": list(OFFICIAL_PART_ORDER),
        "do_canonicalize": False,
        "resampling": "repeat",
    },
    "paper": {"normalization": "point", "interpolation": "linear", "padding": "zeros", "do_canonicalize": False},
}


@contextlib.contextmanager
def loading(knob: str, value: str):
    """Turns what libraries raise for a name that they cannot load into an error that names the knob."""
    try:
        yield
    except (OSError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"`{knob}` is {value!r}, which cannot be loaded ({reason.rstrip('.')}). Give an existing folder, or a name on "
            "the Hub while there is a network."
        ) from error


def check_model_settings(args: TrainArguments) -> None:
    """Raises for keys in `model` and `extractor` that no configuration reads."""
    model = dict(args.model)
    for key, config_class in (("motion_config", MotionPatchMotionConfig), ("text_config", None)):
        inner = model.get(key) or {}
        if not isinstance(inner, dict):
            raise TrainingError(f"`model.{key}` is {inner!r}; keys and values are expected.")
        if config_class is not None:
            check_keys(inner, (*config_class.__annotations__, "attn_implementation"), f"`model.{key}`")
        elif args.text_pretrained is None:
            check_keys(inner, _text_config_keys(inner.get("model_type", "distilbert")), f"`model.{key}`")
    check_keys(model, MotionPatchConfig.__annotations__, "`model`")
    known = [
        k for k in inspect.signature(MotionPatchFeatureExtractor.__init__).parameters if k not in ("self", "kwargs")
    ]
    check_keys(args.extractor, known, "`extractor`")
    for key in _FROM_MODEL:
        if key in args.extractor:
            where = "model" if key == "num_persons" else "model.motion_config"
            raise TrainingError(f"`extractor.{key}` follows from the model; set `{where}.{key}`.")


def _text_config_keys(model_type: str) -> set[str]:
    from transformers.models.auto import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        raise TrainingError(f"`model.text_config.model_type` is {model_type!r}, which transformers does not know.")
    config = CONFIG_MAPPING[model_type]()
    return {"model_type", "attn_implementation", *config.to_dict(), *config.attribute_map}


def build_extractor(args: TrainArguments, skeletons: list[Skeleton]) -> MotionPatchFeatureExtractor:
    """The feature extractor without statistics; its skeleton is that of most clips, the first one's among equals."""
    motion = args.model.get("motion_config") or {}
    defaults = {name: getattr(MotionPatchMotionConfig, name) for name in ("patch_size", "max_frames", "input_kind")}
    settings = {**_EXTRACTOR_PRESETS[args.extractor_preset], **args.extractor}
    settings |= {name: motion.get(name, default) for name, default in defaults.items()}
    settings["num_persons"] = args.model.get("num_persons", 1)
    settings.setdefault("skeleton", max(dict.fromkeys(skeletons), key=skeletons.count))
    extractor = MotionPatchFeatureExtractor(**settings)
    if (
        extractor.normalization == "joint"
        and len({skeleton.chains[p] for skeleton in set(skeletons) for p in ("torso",)}) > 1
    ):
        raise TrainingError(
            "The clips have several skeletons, and `extractor.normalization: joint` has statistics of one alone; use "
            "`point` (extractor_preset=ours or paper) for joint training."
        )
    return extractor


def read_statistics(extractor: MotionPatchFeatureExtractor, folder: str) -> None:
    """`Mean_raw.npy` and `Std_raw.npy` of a folder, as the official code reads them."""
    arrays = []
    for name in ("Mean_raw.npy", "Std_raw.npy"):
        path = Path(folder).expanduser() / name
        if not path.is_file():
            raise TrainingError(f"`statistics` is {folder!r}, which holds no {name}; 'train', 'all' or such a folder.")
        arrays.append(np.load(path, allow_pickle=False).reshape(-1, 3))
    extractor.mean, extractor.std = extractor._check_statistics(*arrays)


def build_tokenizer(args: TrainArguments, captions: list[str]):
    """The pretrained tokenizer, or one trained on the captions."""
    if args.tokenizer == "train":
        if args.text_pretrained is not None and args.init_from is None:
            raise TrainingError(
                "`tokenizer: train` makes a new vocabulary, which the pretrained text model "
                f"{args.text_pretrained!r} does not know; set text_pretrained=null, or name its tokenizer."
            )
        return train_tokenizer(captions, args.vocab_size, args.lower_case, args.max_text_tokens or MAX_TEXT_TOKENS)
    from transformers import AutoTokenizer

    with loading("tokenizer", args.tokenizer):
        tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    limit = args.max_text_tokens or min(tokenizer.model_max_length, MAX_TEXT_TOKENS)
    tokenizer.model_max_length = limit
    return tokenizer


def build_model(args: TrainArguments, processor: MotionPatchProcessor) -> MotionPatchModel:
    """The model in float32, from scratch, from pretrained towers, or from a trained model (`init_from`)."""
    if args.init_from is not None:
        # float32: a checkpoint in half precision would be trained in half precision
        with loading("init_from", args.init_from):
            model = MotionPatchModel.from_pretrained(args.init_from, dtype=torch.float32)
        _adapt(model, args.model, args.init_from)
        return model
    settings = copy.deepcopy(args.model)
    motion = dict(settings.pop("motion_config", None) or {})
    text = dict(settings.pop("text_config", None) or {})
    extractor, tokenizer = processor.feature_extractor, processor.tokenizer
    if extractor.input_kind == "frames":
        from ..skeletons_motionpatch import get_skeleton

        motion.setdefault("num_joints", get_skeleton(extractor.skeleton).num_joints)
    if args.text_pretrained is None:
        text.setdefault("vocab_size", len(tokenizer))
        if text["vocab_size"] < len(tokenizer):
            raise TrainingError(
                f"`model.text_config.vocab_size` is {text['vocab_size']}, but the tokenizer has {len(tokenizer)} entries."
            )
        text.setdefault("pad_token_id", tokenizer.pad_token_id)
    motion_part = (
        {"motion_config": motion} if args.motion_pretrained is None else {f"motion_{k}": v for k, v in motion.items()}
    )
    text_part = {"text_config": text} if args.text_pretrained is None else {f"text_{k}": v for k, v in text.items()}
    with loading("motion_pretrained` or `text_pretrained", f"{args.motion_pretrained}, {args.text_pretrained}"):
        return MotionPatchModel.from_motion_text_pretrained(
            args.motion_pretrained, args.text_pretrained, **settings, **motion_part, **text_part
        )


def _adapt(model: MotionPatchModel, settings: dict, name: str) -> None:
    """Applies what may change when a trained model goes on; anything else that differs from it is an error."""
    if "projection_dropout" in settings:
        model.config.projection_dropout = settings["projection_dropout"]
        for head in (model.motion_projection, model.text_projection):
            if hasattr(head, "dropout"):
                head.dropout.p = settings["projection_dropout"]
    if "loss_reduction" in settings:
        model.config.loss_reduction = settings["loss_reduction"]
    for path, value in _leaves(settings):
        have = model.config
        for key in path:
            have = have.get(key) if isinstance(have, dict) else getattr(have, key, None)
        if have != value:
            raise TrainingError(
                f"`model.{'.'.join(path)}` is {value!r}, but the model of init_from={name!r} has {have!r}; leave the "
                "setting out, or train a model of that shape first."
            )


def _leaves(settings: dict, path: tuple[str, ...] = ()):
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        elif value is not None:
            yield (*path, key), value


__all__ = ["build_extractor", "build_model", "build_tokenizer", "check_model_settings", "loading", "read_statistics"]
