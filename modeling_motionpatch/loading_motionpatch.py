"""Names or files of pretrained image and text models -> configurations and weights for the two towers.

Nothing that is read here can run code: safetensors, or `torch.load(weights_only=True)`.
"""

import json
import os
import pickle
import re
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, PreTrainedConfig
from transformers.models.auto import CONFIG_MAPPING
from transformers.utils import logging

from .configuration_motionpatch import MotionPatchMotionConfig


logger = logging.get_logger(__name__)

# Parts of a ViT that an image checkpoint may lack: a new norm behind the pooling (the official code has one too).
_NEW_KEYS = ("fc_norm.", "norm_pre.", "norm.")


_WEIGHT_FILES = (".safetensors", ".pth", ".pt", ".bin")  # in a folder of timm; the earlier one is taken

# Arguments of a saved timm model that the motion tower's configuration decides itself.
_OWN_ARGUMENTS = ("img_size", "patch_size", "in_chans", "num_classes", "global_pool", "fc_norm")


@contextmanager
def _intact(name: str):
    """Turns what a corrupt or dangerous file of weights raises into a `ValueError` that names it."""
    try:
        yield
    except SafetensorError as error:
        raise ValueError(f"{name!r} is no intact safetensors file ({error}). Download or save it again.") from error
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))  # the rest of torch's message tells how to run it nevertheless
        if found is None:
            raise ValueError(
                f"{name!r} is no intact file of tensors alone: corrupt, or a pickle that could run code when loaded, so it "
                "was refused. Download it again, or save `model.state_dict()` by `torch.save` or as safetensors."
            ) from error
        raise ValueError(
            f"{name!r} holds more than tensors ({found[1]}) and could run code when loaded, so it was refused. "
            "Ask for a safetensors file, or save `model.state_dict()` alone."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{name!r} is no intact file of weights ({str(error) or type(error).__name__}). Download or save it again."
        ) from error


class IntactLoading:
    """`from_pretrained` that names the folder or repository whose safetensors file is corrupt."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except SafetensorError as error:
            raise ValueError(
                f"The weights of {str(pretrained_model_name_or_path)!r} are no intact safetensors file ({error}). Download "
                "or save them again."
            ) from error


def read_state_dict(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """A file of weights -> its tensors, without running anything in it.

    Args:
        path (`str`): A `.safetensors` file, or one written by `torch.save` that holds tensors alone; a dictionary
            inside under `state_dict`, `model` or `model_state_dict` is taken out.

    Raises:
        ValueError: The file is missing, corrupt, or would run code when loaded.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no file of weights at {str(path)!r}.")
    with _intact(str(path)):
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"{str(path)!r} holds no dictionary of tensors but {type(state).__name__}.")
    return state


def load_motion_tower(name_or_path, config, config_kwargs: dict, build_vit):
    """The motion tower's configuration and, where a checkpoint is named, its weights fitted to the grid of patches.

    Returns:
        `tuple`: `MotionPatchMotionConfig`, and a state dict of the ViT or `None`.
    """
    if isinstance(config, dict):
        config = MotionPatchMotionConfig(**{k: v for k, v in config.items() if k != "model_type"})
    if config is not None and config_kwargs:
        config = MotionPatchMotionConfig(**{**_fields(config), **config_kwargs})
    if name_or_path is None:
        return config or MotionPatchMotionConfig(**config_kwargs), None
    name = str(name_or_path)
    state, architecture, arguments = _image_weights(name)
    if config is None:
        settings = dict(config_kwargs)
        if architecture is not None:
            settings.setdefault("architecture", architecture)
            settings["architecture_kwargs"] = {**arguments, **(settings.get("architecture_kwargs") or {})}
        config = MotionPatchMotionConfig(**settings)
    return config, _fit_vit(state, build_vit(config), config, name)


def _fields(config: MotionPatchMotionConfig) -> dict:
    """The settings of a configuration that define the tower, without those that follow from others."""
    names = MotionPatchMotionConfig.__annotations__
    return {
        key: getattr(config, key) for key in names if hasattr(config, key) and key not in ("hidden_size", "model_type")
    }


def _image_weights(name: str) -> tuple[dict, str | None, dict]:
    """A file, a folder of timm, a Hub name or a timm name -> weights, architecture (a file tells none), its arguments."""
    import timm
    from timm.models import load_model_config_from_hf, load_state_dict_from_hf

    path = Path(name)
    if path.is_file() or path.suffix in _WEIGHT_FILES:
        return read_state_dict(path), None, {}
    if path.is_dir():
        try:
            settings = json.loads((path / "config.json").read_text(encoding="utf-8"))
            architecture, arguments = settings["architecture"], settings.get("model_args") or {}
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{name!r} holds no timm model ({error!r}); a config.json with `architecture` is needed."
            ) from error
        files = sorted(
            (file for file in path.iterdir() if file.suffix in _WEIGHT_FILES),
            key=lambda file: (_WEIGHT_FILES.index(file.suffix), file.name),
        )
        state = read_state_dict(files[0] if files else path / "model.safetensors")
        return state, architecture, _architecture_arguments(arguments)
    if "/" in name:
        hub_name = name.split(":", 1)[-1]
        try:
            settings, architecture, arguments = load_model_config_from_hf(hub_name)
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{name!r} is no file or folder, and the Hub has no timm model of that name ({error}); a config.json "
                "with `architecture` is needed."
            ) from error
        file = {"filename": settings["hf_hub_filename"]} if settings.get("hf_hub_filename") else {}
        with _intact(name):
            state = load_state_dict_from_hf(hub_name, weights_only=True, **file)
        return state, architecture, _architecture_arguments(arguments)
    if not timm.is_model(name):
        raise ValueError(
            f"{name!r} is neither a file, a folder, a Hub name nor a timm model. `timm.list_models('vit_*')` lists "
            "the names."
        )
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict(), name, {}
    except (OSError, RuntimeError) as error:  # no network, or weights that timm does not have
        raise OSError(
            f"The weights of timm's {name!r} could not be loaded ({error}). Pass a file or folder of them instead, with "
            "`motion_architecture=` for a file."
        ) from error


def _architecture_arguments(arguments: dict | None) -> dict:
    return {key: value for key, value in (arguments or {}).items() if key not in _OWN_ARGUMENTS}


def _fit_vit(state: dict, vit: torch.nn.Module, config: MotionPatchMotionConfig, name: str) -> dict:
    """An image ViT's weights -> those of a motion ViT: classifier dropped, patch and position embeddings resized."""
    from timm.models.vision_transformer import checkpoint_filter_fn

    state = {key.removeprefix("module.").removeprefix("motion_model.vit."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith(("head.", "head_dist.", "pre_logits."))}
    if config.input_kind == "frames":
        state = {key: value for key, value in state.items() if not key.startswith("patch_embed.")}
    own = vit.state_dict()
    try:
        state = checkpoint_filter_fn(state, vit)
    except (RuntimeError, KeyError, ValueError) as error:
        raise ValueError(f"The weights of {name!r} are none of a Vision Transformer ({error}).") from error
    dropped = [key for key in state if key not in own]
    state = {key: value for key, value in state.items() if key in own}
    wrong = [
        f"{key}: {tuple(value.shape)} in the file, {tuple(own[key].shape)} in {config.architecture}"
        for key, value in state.items()
        if value.shape != own[key].shape
    ]
    new_keys = _NEW_KEYS + (("patch_embed.",) if config.input_kind == "frames" else ())
    missing = [key for key in own if key not in state and not key.startswith(new_keys)]
    left_over = [key for key in dropped if key.startswith("blocks.")]  # the file has more layers
    if wrong or missing or left_over:
        raise ValueError(
            f"The weights of {name!r} do not fit {config.architecture!r} with {config.architecture_kwargs}: "
            + "; ".join(
                wrong[:3]
                + [f"{key} is missing" for key in missing[:3]]
                + [f"{key} has no counterpart" for key in left_over[:3]]
            )
            + ". Pass the `motion_architecture` (and `motion_architecture_kwargs`) the weights were made with."
        )
    new = [key for key in own if key not in state]
    if new or dropped:
        logger.info(f"{name}: newly initialised {new}; not used {dropped}.")
    return {**own, **state}


def load_text_tower(name_or_path, config, config_kwargs: dict):
    """The text tower's configuration and, where a checkpoint is named, its weights in float32."""
    if isinstance(config, dict):
        config = CONFIG_MAPPING[config.get("model_type", "distilbert")](
            **{k: v for k, v in config.items() if k != "model_type"}
        )
    if name_or_path is None:
        if config is None:
            config = CONFIG_MAPPING["distilbert"]()
        return _changed(config, config_kwargs), None
    if config is None:
        config = AutoConfig.from_pretrained(name_or_path)
    if config.model_type == "clip":  # a whole CLIP: its text model alone
        config = config.text_config
    config = _changed(config, config_kwargs)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # a checkpoint may hold a head, or an image tower, beside the text model
    try:
        model, info = AutoModel.from_pretrained(
            name_or_path, config=config, dtype=torch.float32, output_loading_info=True
        )
    finally:
        logging.set_verbosity(verbosity)
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))  # `pool_text` pools
    if missing:
        raise ValueError(
            f"{str(name_or_path)!r} lacks weights of {type(model).__name__}: {missing[:3]}, {len(missing)} in all."
        )
    if model.main_input_name != "input_ids" or not hasattr(model.config, "hidden_size"):
        raise ValueError(f"{str(name_or_path)!r} is a {type(model).__name__}, which is no text model alone.")
    return model.config, model.state_dict()


def _changed(config: PreTrainedConfig, fields: dict) -> PreTrainedConfig:
    """The configuration with some of its fields changed; a field it does not have is refused."""
    known = config.to_dict().keys() | config.attribute_map.keys()
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise ValueError(f"{type(config).__name__} has no fields {unknown}, asked for as `text_{unknown[0]}`.")
    for name, value in fields.items():
        setattr(config, name, value)
    return config
