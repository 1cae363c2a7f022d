"""A model and its processor -> a small record of what they are, by which a gallery knows whose embeddings it holds."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from ..pipeline_motionpatch import CHECKPOINTS


HASHED_VALUES = 1024  # values of each weight that enter the fingerprint; training moves all of them
SAMPLED_WEIGHTS = 64  # values kept as numbers, to compare a float16 model with others by tolerance
HALF_TOLERANCE = 2**-7  # relative; bfloat16 has 8 bits
PROBE_TEXT = "a person walks forward, then turns around and waves with the left hand."
PACKAGED = "packaged:"  # prefix of a name that is a folder of the package's own checkpoints
_MOTION_FIELDS = (
    "architecture",
    "architecture_kwargs",
    "patch_size",
    "num_body_parts",
    "max_frames",
    "pooling",
    "input_kind",
    "num_joints",
    "num_channels",
    "final_norm",
    "hidden_size",
)
_FIELDS = ("projection_dim", "projection_kind", "text_pooling", "num_persons")
_SETTINGS = (  # of the feature extractor, that change what the model sees
    "patch_size",
    "max_frames",
    "fps",
    "normalization",
    "interpolation",
    "padding",
    "part_order",
    "do_canonicalize",
    "reference_length",
    "resampling",
    "input_kind",
    "num_persons",
)


@dataclass
class ModelIdentity:
    """Which model, with which preprocessing, made the embeddings.

    Args:
        name (`str`): Name or folder the model was loaded from; `packaged:NAME` for a checkpoint of the package.
        dim (`int`): P, width of the embeddings.
        dtype (`str`): What the model computed in.
        weights (`dict[str, dict]`): `"motion"` and `"text"`, as far as the model has these towers: a fingerprint and a
            sample of the weights.
        config (`dict`): What shapes the towers.
        preprocessing (`dict`): Settings of the feature extractor, the statistics as a fingerprint.
        tokens (`list[int]`, *optional*): What the tokenizer makes of a fixed sentence.
    """

    name: str
    dim: int
    dtype: str
    weights: dict
    config: dict
    preprocessing: dict = field(default_factory=dict)
    tokens: list[int] | None = None

    @classmethod
    def of(cls, model, processor=None) -> "ModelIdentity":
        """Reads model and processor; takes milliseconds, since weights are sampled.

        Weights are compared as bfloat16, so that one checkpoint has one fingerprint in float32 and in bfloat16.
        """
        extractor = getattr(processor, "feature_extractor", processor)
        tokenizer = getattr(processor, "tokenizer", None)
        config = {name: getattr(model.config, name) for name in _FIELDS}
        config["text_model_type"] = model.config.text_config.model_type
        config |= {f"motion_{name}": getattr(model.config.motion_config, name) for name in _MOTION_FIELDS}
        return cls(
            name=model_name(model),
            dim=int(model.config.projection_dim),
            dtype=str(model.dtype).removeprefix("torch."),
            weights={side: record for side in ("motion", "text") if (record := _weights(model, side))},
            config=json.loads(json.dumps(config)),  # tuples as lists, as a file gives them back
            preprocessing={} if extractor is None else _preprocessing(extractor),
            tokens=None if tokenizer is None else [int(token) for token in tokenizer(PROBE_TEXT)["input_ids"]],
        )

    def differences(self, other: "ModelIdentity") -> list[str]:
        """What makes embeddings of `other` incomparable with those of this model; empty where nothing does."""
        found = []
        if self.dim != other.dim:
            found.append(f"embeddings of width {other.dim} instead of {self.dim}")
        found += [f"{name}={b!r} instead of {a!r}" for name, a, b in _changed(self.config, other.config)]
        for side in self.weights.keys() & other.weights.keys():
            if not self._same_weights(other, side):
                found.append(f"other weights in the {side} tower")
        settings = _changed(self.preprocessing, other.preprocessing)
        found += [f"a feature extractor with {name}={b!r:.40} instead of {a!r:.40}" for name, a, b in settings]
        if self.tokens is not None and other.tokens is not None and self.tokens != other.tokens:
            found.append("another tokenizer")
        return found

    def _same_weights(self, other: "ModelIdentity", side: str) -> bool:
        own, others = self.weights[side], other.weights[side]
        if own["fingerprint"] == others["fingerprint"]:
            return True
        if self.dtype == other.dtype or "float16" not in (self.dtype, other.dtype):
            return False
        # float32 -> float16 -> bfloat16 rounds twice, so the fingerprints may differ in a few last bits
        a, b = np.asarray(own["sample"]), np.asarray(others["sample"])
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=HALF_TOLERANCE, atol=1e-6))

    def to_dict(self) -> dict:
        """JSON-serialisable form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "ModelIdentity":
        """The inverse of [`to_dict`]; fields that this version does not know are passed over."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})


def model_name(model) -> str:
    """Where a model came from; folders inside the package are named independently of where it is installed."""
    name = str(getattr(model.config, "_name_or_path", "") or "")
    if name and Path(name).is_dir():
        path = Path(name).resolve()
        return PACKAGED + path.name if path.parent == CHECKPOINTS.resolve() else str(path)
    return name


def model_path(name: str) -> str:
    """The inverse of [`model_name`]: what `from_pretrained` takes."""
    return str(CHECKPOINTS / name.removeprefix(PACKAGED)) if name.startswith(PACKAGED) else name


def _changed(one: dict, other: dict) -> list[tuple]:
    return [(name, value, other[name]) for name, value in one.items() if name in other and other[name] != value]


def _weights(model, side: str) -> dict | None:
    """Fingerprint and sample of one tower and its head."""
    names = (f"{side}_model.", f"{side}_projection.")
    state = {key.removeprefix("_orig_mod.").removeprefix("module."): v for key, v in model.state_dict().items()}
    state = {key: value for key, value in state.items() if key.startswith(names)}
    state = {key: value.detach() for key, value in sorted(state.items()) if value.is_floating_point()}
    if not any(key.startswith(names[1]) for key in state):
        return None
    digest, values = hashlib.sha256(), []
    for key, tensor in state.items():
        flat = tensor.reshape(-1)
        step = max(1, flat.numel() // HASHED_VALUES)
        some = flat[::step][:HASHED_VALUES].to(device="cpu", dtype=torch.bfloat16)
        digest.update(f"{key} {tuple(tensor.shape)}".encode())
        digest.update(some.view(torch.int16).numpy().tobytes())
        values.append(float(some[len(some) // 2]) if len(some) else 0.0)
    chosen = np.linspace(0, len(values) - 1, min(SAMPLED_WEIGHTS, len(values))).astype(int)
    return {"fingerprint": digest.hexdigest(), "sample": [values[index] for index in chosen]}


def _preprocessing(extractor) -> dict:
    settings = {name: getattr(extractor, name) for name in _SETTINGS if hasattr(extractor, name)}
    digest = hashlib.sha256()
    for statistics in (extractor.mean, extractor.std):
        digest.update(b"-" if statistics is None else np.asarray(statistics, dtype=np.float32).tobytes())
    settings["statistics"] = digest.hexdigest()[:16]
    return json.loads(json.dumps(settings))
