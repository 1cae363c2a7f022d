"""Names or files of pretrained image and text models -> configurations and weights for the two towers.

Nothing that is read here can run code: safetensors, or `torch.load(weights_only=True)`.
"""

import os
import pickle
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
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(
            f"{str(path)!r} is no intact safetensors file ({error}). Download or save it again."
        ) from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{str(path)!r} holds more than tensors and could run code when loaded, so it was refused ({error}). "
            "Ask for a safetensors file, or save `model.state_dict()` alone."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{str(path)!r} is no intact file of weights ({error}).") from error
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
    if Path(name).is_file():
        if config is None:
            config = MotionPatchMotionConfig(**config_kwargs)
        return config, _fit_vit(read_state_dict(name), build_vit(config), config, name)
    if config is None:
        settings = dict(config_kwargs)
        settings.setdefault("architecture", _architecture_of(name))
        config = MotionPatchMotionConfig(**settings)
    source = name
    if Path(name).is_dir():
        source = f"local-dir:{name}"
    elif "/" in name and not name.startswith(("hf-hub:", "hf_hub:")):
        source = f"hf-hub:{name}"
    if config.input_kind == "frames":  # its patch embedding has no counterpart in an image model
        import timm

        pretrained = timm.create_model(source, pretrained=True, num_classes=0)
        return config, _fit_vit(pretrained.state_dict(), build_vit(config), config, name)
    loaded = build_vit(_with_architecture(config, source), pretrained=True)
    return config, loaded.state_dict()


def _fields(config: MotionPatchMotionConfig) -> dict:
    """The settings of a configuration that define the tower, without those that follow from others."""
    names = MotionPatchMotionConfig.__annotations__
    return {
        key: getattr(config, key) for key in names if hasattr(config, key) and key not in ("hidden_size", "model_type")
    }


def _with_architecture(config: MotionPatchMotionConfig, architecture: str):
    """What `build_vit` reads of a configuration, with a source of weights in the architecture's place."""
    from types import SimpleNamespace

    names = ("image_size", "token_size", "num_channels", "pooling", "final_norm", "architecture_kwargs", "hidden_size")
    return SimpleNamespace(architecture=architecture, **{key: getattr(config, key) for key in names})


def _architecture_of(name: str) -> str:
    """The timm architecture behind a timm name, a Hub name or a folder that timm saved."""
    import timm

    try:
        if Path(name).is_dir():
            import json

            with open(Path(name) / "config.json", encoding="utf-8") as file:
                return json.load(file)["architecture"]
        if "/" in name:
            from timm.models import load_model_config_from_hf

            hub_name = name.split(":", 1)[-1]
            return load_model_config_from_hf(hub_name)[1]
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"{name!r} holds no timm model ({error}); a config.json with `architecture` is needed."
        ) from error
    if timm.is_model(name.split(".")[0]) or timm.is_model(name):
        return name
    raise ValueError(
        f"{name!r} is neither a file, a folder, a Hub name nor a timm model. `timm.list_models('vit_*')` lists the names."
    )


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
    if wrong or missing:
        raise ValueError(
            f"The weights of {name!r} do not fit {config.architecture!r} with {config.architecture_kwargs}: "
            + "; ".join(wrong[:3] + [f"{key} is missing" for key in missing[:3]])
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
            config = CONFIG_MAPPING["distilbert"](**config_kwargs)
        return config, None
    if config is None:
        config = AutoConfig.from_pretrained(name_or_path, **config_kwargs)
    model_class = AutoModel
    if config.model_type == "clip":  # a whole CLIP: its text model alone
        from transformers import CLIPTextModel

        model_class, config = CLIPTextModel, config.text_config
    model = model_class.from_pretrained(name_or_path, config=config, dtype=torch.float32)
    config = model.config
    if not isinstance(config, PreTrainedConfig):
        raise ValueError(f"{name_or_path!r} holds no text model of transformers.")
    return config, model.state_dict()
