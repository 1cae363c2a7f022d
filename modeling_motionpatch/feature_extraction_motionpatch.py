"""Joints (T, J, 3) in metres, Y up -> motion patches (3, frames, 5 * N); numpy only.

Every body part's chain of joints is interpolated to N points; N frames by N points of a part make one patch whose x, y
and z a Vision Transformer reads as red, green and blue (paper, Sec. 3.1). All parts together are one matrix product.
"""

import inspect
from collections.abc import Sequence

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin
from transformers.utils import logging

from .configuration_motionpatch import refuse_misspelled
from .geometry_motionpatch import (
    INTERPOLATIONS,
    MIN_FRAMES,
    MotionInputError,
    body_length,
    canonical_channels,
    check_fps,
    check_joints,
    resample_joints,
    warn_of_size,
)
from .inputs_motionpatch import as_lists
from .points_motionpatch import PointMap, subtract_offsets
from .skeletons_motionpatch import BODY_PARTS, Skeleton, get_skeleton


logger = logging.get_logger(__name__)

OFFICIAL_PART_ORDER = ("right_leg", "left_leg", "torso", "right_arm", "left_arm")
MIN_STD = 1e-4  # [m]; a coordinate that moves less than 0.1 mm over a data set is not scaled up to noise


class MotionPatchFeatureExtractor(FeatureExtractionMixin):
    r"""
    Turns joint positions of any known skeleton into motion patches.

    Args:
        patch_size (`int`, *optional*, defaults to 16): N, points a body part and frames a patch.
        max_frames (`int`, *optional*, defaults to 224): Longest motion [frames]; what is longer is cut.
        fps (`float`, *optional*, defaults to 20.0): Frame rate [1/s] that motions are brought to.
        skeleton (`str`, `dict` or `Skeleton`, *optional*, defaults to `"smpl22"`):
            The skeleton of motions that come without one.
        normalization (`"point"`, `"joint"` or `"none"`, *optional*, defaults to `"point"`):
            z-score of every sampled point (paper), so that any skeleton can be read, or of every joint of `skeleton`
            before interpolation (official code).
        interpolation (`"half_pixel"`, `"linear"` or `"arc_length"`, *optional*, defaults to `"arc_length"`):
            Where the N points lie on a chain, see [`~geometry_motionpatch.chain_weights`].
        padding (`"mask"` or `"zeros"`, *optional*, defaults to `"mask"`):
            `"mask"` also returns `motion_attention_mask`, so that padded frames change nothing; `"zeros"` lets zeros
            be attended to and averaged in (official code).
        part_order (`Sequence[str]`, *optional*): Body parts from left to right in the patches.
        do_canonicalize (`bool`, *optional*, defaults to `True`):
            Put each motion on the floor, its first root over the origin, its first frame facing +Z.
        reference_length (`float`, *optional*):
            Scale each person to this length of torso plus one leg [m]; `None` keeps sizes.
        resampling (`"linear"` or `"repeat"`, *optional*, defaults to `"linear"`):
            How a frame rate is changed; `"repeat"` is the official rule for KIT-ML.
        input_kind (`"patches"` or `"frames"`, *optional*, defaults to `"patches"`):
            `"frames"` returns the joints themselves, (3, frames, J): the ablation without patches (Table 4).
        num_persons (`int`, *optional*, defaults to 1): Persons a motion; 2 reads arrays (T, 2, J, 3).
        mean, std (`array_like`, *optional*):
            Statistics [m], `(5 * N, 3)` for `"point"` and `(J, 3)` for `"joint"`; set by [`fit`].

    Example:

    ```python
    >>> import numpy as np
    >>> from modeling_motionpatch import MotionPatchFeatureExtractor
    >>> extractor = MotionPatchFeatureExtractor(normalization="none")
    >>> batch = extractor(np.random.rand(60, 22, 3), skeleton="smpl22", fps=20.0)
    >>> batch["motion_values"].shape, batch["motion_attention_mask"].shape
    ((1, 3, 224, 80), (1, 14, 5))
    ```
    """

    model_input_names = ["motion_values", "motion_attention_mask"]

    def __init__(
        self,
        patch_size: int = 16,
        max_frames: int = 224,
        fps: float = 20.0,
        skeleton: "str | dict | Skeleton" = "smpl22",
        normalization: str = "point",
        interpolation: str = "arc_length",
        padding: str = "mask",
        part_order: Sequence[str] = BODY_PARTS,
        do_canonicalize: bool = True,
        reference_length: float | None = None,
        resampling: str = "linear",
        input_kind: str = "patches",
        num_persons: int = 1,
        mean=None,
        std=None,
        **kwargs,
    ):
        refuse_misspelled(self, inspect.signature(MotionPatchFeatureExtractor.__init__).parameters, kwargs)
        super().__init__(**kwargs)
        for name, value in (("patch_size", patch_size), ("max_frames", max_frames), ("num_persons", num_persons)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"`{name}` is {value!r}; it must be a whole number of at least 1.")
        if reference_length is not None and not 0 < reference_length < float("inf"):
            raise ValueError(f"`reference_length` is {reference_length!r}; it must be a length above 0 [m], or None.")
        for name, value, allowed in (
            ("normalization", normalization, ("point", "joint", "none")),
            ("interpolation", interpolation, INTERPOLATIONS),
            ("padding", padding, ("mask", "zeros")),
            ("resampling", resampling, ("linear", "repeat")),
            ("input_kind", input_kind, ("patches", "frames")),
        ):
            if value not in allowed:
                raise ValueError(f"`{name}` is {value!r}; it must be one of {allowed}.")
        if sorted(part_order) != sorted(BODY_PARTS):
            raise ValueError(f"`part_order` is {list(part_order)}; it must hold each of {list(BODY_PARTS)} once.")
        if max_frames < MIN_FRAMES or (input_kind == "patches" and max_frames % patch_size):
            raise ValueError(
                f"`max_frames` is {max_frames} and `patch_size` {patch_size}; frames must be at least {MIN_FRAMES} and a "
                f"multiple of the patch size, e.g. {max(1, max_frames // patch_size) * patch_size}."
            )
        if input_kind == "frames" and normalization == "point":
            normalization = "joint"  # without patches there are no points
        self.patch_size = patch_size
        self.max_frames = max_frames
        self.fps = check_fps(fps)
        skeleton = get_skeleton(skeleton)
        self.skeleton = skeleton.to_dict() if skeleton.to_string().startswith("{") else skeleton.name
        self.normalization = normalization
        self.interpolation = interpolation
        self.padding = padding
        self.part_order = list(part_order)
        self.do_canonicalize = do_canonicalize
        self.reference_length = reference_length
        self.resampling = resampling
        self.input_kind = input_kind
        self.num_persons = num_persons
        self.mean, self.std = self._check_statistics(mean, std)
        self._maps: dict[tuple, tuple] = {}  # (skeleton, normalized?) -> mean, std and their PointMap

    @classmethod
    def official(cls, mean, std, skeleton: "str | Skeleton" = "smpl22", **kwargs) -> "MotionPatchFeatureExtractor":
        """The published code's preprocessing: joints must already be in HumanML3D's canonical form.

        Args:
            mean, std (`array_like` of shape `(J, 3)`): `Mean_raw.npy` and `Std_raw.npy` [m].
            skeleton (`str`, *optional*, defaults to `"smpl22"`): `"smpl22"` (HumanML3D) or `"kit21"` (KIT-ML).
        """
        settings = {
            "normalization": "joint",
            "interpolation": "half_pixel",
            "padding": "zeros",
            "part_order": OFFICIAL_PART_ORDER,
            "do_canonicalize": False,
            "resampling": "repeat",
        }
        return cls(skeleton=skeleton, mean=mean, std=std, **{**settings, **kwargs})

    @classmethod
    def paper(cls, skeleton: "str | Skeleton" = "smpl22", **kwargs) -> "MotionPatchFeatureExtractor":
        """The paper's text where it differs from the code: z-score of each point, evenly spaced linear interpolation."""
        settings = {
            "normalization": "point",
            "interpolation": "linear",
            "padding": "zeros",
            "do_canonicalize": False,
        }
        return cls(skeleton=skeleton, **{**settings, **kwargs})

    # ------------------------------------------------------------------------------------------------ statistics

    def _check_statistics(self, mean, std):
        if (mean is None) != (std is None):
            raise ValueError("`mean` and `std` come together; one of them is missing.")
        if mean is None:
            return None, None
        rows = get_skeleton(self.skeleton).num_joints if self.normalization == "joint" else self.num_points
        mean, std = np.asarray(mean, dtype=np.float32), np.asarray(std, dtype=np.float32)
        if self.normalization != "none" and (mean.shape != (rows, 3) or std.shape != (rows, 3)):
            raise ValueError(
                f"`mean` has shape {mean.shape} and `std` {std.shape}; normalization={self.normalization!r} of skeleton "
                f"{get_skeleton(self.skeleton).name!r} needs ({rows}, 3)."
            )
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
            raise ValueError("`mean` and `std` must be finite and `std` not negative.")
        return mean, std

    @property
    def num_points(self) -> int:
        """Points across all body parts, 5 * N."""
        return len(self.part_order) * self.patch_size

    @property
    def token_frames(self) -> int:
        """Frames of a token: N of a patch, or one for `input_kind="frames"`."""
        return 1 if self.input_kind == "frames" else self.patch_size

    def height(self, frames: int) -> int:
        """Frames of a batch whose longest clip has so many: no more rows than it fills where padding is masked."""
        if self.padding != "mask":  # zeros that are attended to have to be there
            return self.max_frames
        return min(self.max_frames, -(-frames // self.token_frames) * self.token_frames)

    def fit(self, motions, skeleton=None, fps=None) -> "MotionPatchFeatureExtractor":
        """Computes mean and standard deviation over all frames of `motions` (of the training split alone).

        Args:
            motions: As in [`__call__`].
            skeleton, fps: As in [`__call__`]. With `normalization="joint"` all motions must have `self.skeleton`.

        Returns:
            The extractor itself.
        """
        if self.normalization == "none":
            return self
        total = squares = count = 0
        for channels, of_skeleton in self._prepare(motions, skeleton, fps):
            if self.normalization == "joint":
                values, weight = channels.reshape(3, -1, channels.shape[-1]), 1
            else:
                values = np.moveaxis(self._to_points(channels, of_skeleton), -3, 0)
                values = values.reshape(3, -1, values.shape[-1])
                weight = self._present_points(of_skeleton)[:, None]
            # Sums within a clip in float32 are exact enough; over the data set they are kept in float64.
            total = total + values.sum(axis=1, dtype=np.float64).T
            squares = squares + np.einsum("ctw,ctw->wc", values, values, dtype=np.float64)
            count = count + weight * values.shape[1]
        if not np.any(count):
            raise MotionInputError("`fit` was given no motion.")
        count = np.maximum(count, 1)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        self.mean, self.std = self._check_statistics(mean, np.where(std < MIN_STD, 1.0, std))
        return self

    def _statistics(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        if self.normalization == "none":
            return np.zeros((rows, 3), np.float32), np.ones((rows, 3), np.float32)
        if self.mean is None:
            logger.warning_once(
                f"The feature extractor has normalization={self.normalization!r} but no statistics yet, so values stay "
                "in metres. Call `fit` on the training motions, or load a trained processor."
            )
            return np.zeros((rows, 3), np.float32), np.ones((rows, 3), np.float32)
        return self.mean, np.where(self.std > 0, self.std, np.float32(1))

    # ------------------------------------------------------------------------------------------------ one motion

    def _prepare(self, motions, skeleton, fps):
        """Yields (positions `(3, T, J)` or `(3, T, P, J)` at `self.fps`, canonical, skeleton) of each motion, checked."""
        motions, skeletons, rates = self._as_lists(motions, skeleton, fps)
        for index, (motion, of_skeleton, rate) in enumerate(zip(motions, skeletons, rates)):
            name = f"motion {index}" if len(motions) > 1 else "motion"
            joints = check_joints(motion, of_skeleton, self.num_persons, name)
            if index == 0 and not self.reference_length:  # one speaks for all that are given together
                warn_of_size(joints, of_skeleton)
            if self.normalization == "joint" or self.input_kind == "frames":
                self._check_own(of_skeleton)
            joints = self.resample(joints, rate, name)
            if self.do_canonicalize:
                scale = 1.0
                if self.reference_length:
                    first = joints if joints.ndim == 3 else joints[:, 0]
                    scale = self.reference_length / body_length(first, of_skeleton)
                yield canonical_channels(joints, of_skeleton, scale), of_skeleton
            else:
                yield np.ascontiguousarray(joints.transpose(-1, *range(joints.ndim - 1))), of_skeleton

    def resample(self, joints: np.ndarray, fps: float, name: str = "motion") -> np.ndarray:
        """A checked motion at `fps` -> at the extractor's rate.

        Raises:
            MotionInputError: Too few frames are left; `name` is what the message calls the motion.
        """
        if fps == self.fps:
            return joints
        resampled = resample_joints(joints, fps, self.fps, self.resampling)
        if len(resampled) < MIN_FRAMES:
            raise MotionInputError(
                f"The {name} of {len(joints)} frames at {fps:g} fps is shorter than {MIN_FRAMES} frames at {self.fps:g} "
                "fps; give a longer one, or check `fps`."
            )
        return resampled

    def _as_lists(self, motions, skeleton, fps):
        """One motion or many, with one skeleton and rate for all or one each -> three lists of the same length."""
        arrays, skeletons, rates = as_lists(motions, skeleton, fps, self.num_persons)
        own, own_fps = get_skeleton(self.skeleton), check_fps(self.fps)
        skeletons = [own if each is None else get_skeleton(each) for each in skeletons]
        return arrays, skeletons, [own_fps if rate is None else check_fps(rate) for rate in rates]

    def _check_own(self, skeleton: Skeleton) -> None:
        own = get_skeleton(self.skeleton)
        if skeleton.num_joints != own.num_joints or skeleton.chains != own.chains:
            raise MotionInputError(
                f"normalization='joint' has statistics of skeleton {own.name!r}; a motion of {skeleton.name!r} cannot "
                "be read with them. Use normalization='point', which reads any skeleton."
            )

    def _present_points(self, skeleton: Skeleton) -> np.ndarray:
        """(5 * N,) bool: points of body parts that the skeleton has."""
        return np.repeat([bool(skeleton.chains[part]) for part in self.part_order], self.patch_size)

    def _to_points(
        self, channels: np.ndarray, skeleton: Skeleton, normalize: bool = False, affine=None, out=None
    ) -> np.ndarray:
        """(3, T, J) -> (3, T, 5 * N), or (3, T, P, J) -> (P, 3, T, 5 * N), by one matrix product over all frames.

        `out` takes the first frames alone, as many as it has; bones are measured over all of them. `affine` is what
        [`PointMap.of`] returns, where it is known already.
        """
        if channels.ndim == 4:  # each person has bones of their own
            if out is None:
                out = np.empty((channels.shape[2], 3, channels.shape[1], self.num_points), np.float32)
            for person in range(len(out)):
                self._to_points(channels[:, :, person], skeleton, normalize, None, out[person])
            return out
        factors, offsets = self._map(skeleton, normalize).of(channels) if affine is None else affine
        points = np.matmul(channels if out is None else channels[:, : out.shape[-2]], factors, out=out)
        subtract_offsets(points, offsets)
        return points

    def _map(self, skeleton: Skeleton, normalize: bool) -> PointMap:
        """Positions of `skeleton` to points, made once for the statistics at hand."""
        statistics = self.mean, self.std
        kept = self._maps.get((skeleton, normalize))
        if kept is None or kept[0] is not self.mean or kept[1] is not self.std:  # they may have been replaced
            by_joint, mean, std = self.normalization == "joint", None, None
            if normalize:
                mean, std = self._statistics(skeleton.num_joints if by_joint else self.num_points)
            made = PointMap(skeleton, self.patch_size, self.part_order, self.interpolation, mean, std, by_joint)
            kept = self._maps[skeleton, normalize] = (*statistics, made)
        return kept[2]

    def _affine_of_all(self, prepared: list[tuple[np.ndarray, Skeleton]]) -> list:
        """What [`PointMap.of`] returns for each motion, those of one skeleton together; `None` where that does not apply."""
        result: list = [None] * len(prepared)
        if self.input_kind == "frames" or self.num_persons > 1:
            return result
        rows: dict[Skeleton, list[int]] = {}
        for index, (_, skeleton) in enumerate(prepared):
            rows.setdefault(skeleton, []).append(index)
        for skeleton, indices in rows.items():
            of_each = self._map(skeleton, self.normalization != "none").of([prepared[index][0] for index in indices])
            for index, affine in zip(indices, of_each):
                result[index] = affine
        return result

    def joints_to_points(self, joints, skeleton=None, fps=None) -> np.ndarray:
        """One motion -> its normalised points, before cutting and padding.

        Args:
            joints (`np.ndarray` of shape `(T, J, 3)`): Positions [m].
            skeleton (`str` or `Skeleton`, *optional*): Default: the extractor's own.
            fps (`float`, *optional*): Frame rate of `joints`; default: the extractor's own.

        Returns:
            `np.ndarray` of shape `(T', 5 * patch_size, 3)` and dtype float32; `(T', J, 3)` for
            `input_kind="frames"`, and a person axis behind the first for several persons.
        """
        ((channels, of_skeleton),) = self._prepare([joints], skeleton, fps)
        return np.moveaxis(self._normalized(channels, of_skeleton), (-3, -2), (-1, 0))

    def _normalized(self, channels: np.ndarray, skeleton: Skeleton, affine=None, out=None) -> np.ndarray:
        """(3, T, J) -> (3, T, W), or (3, T, P, J) -> (P, 3, T, W): z-scored, interpolated; its beginning where `out` ends."""
        if self.input_kind == "patches":
            return self._to_points(channels, skeleton, self.normalization != "none", affine, out)
        mean, std = self._statistics(channels.shape[-1])
        frames = np.moveaxis(channels, 2, 0) if channels.ndim == 4 else channels
        frames = frames[..., : frames.shape[-2] if out is None else out.shape[-2], :]
        return np.divide(frames - mean.T[:, None], std.T[:, None], out=out)

    # ------------------------------------------------------------------------------------------------ batches

    def __call__(self, motions, skeleton=None, fps=None, return_tensors: str | None = None, **kwargs) -> BatchFeature:
        """One motion or a list of motions -> a padded batch.

        Args:
            motions (`array_like` of shape `(T, J, 3)`, an object with `joints`, `fps` and `skeleton`, or a list of them):
                Positions [m], Y up. Torch tensors are accepted.
            skeleton (`str`, `Skeleton` or a list of them, *optional*): What the motions are recorded with.
            fps (`float` or a list, *optional*): Frame rate(s) [1/s]; default: the extractor's own.
            return_tensors (`"pt"` or `"np"`, *optional*): numpy by default.

        Returns:
            `BatchFeature` with

            - `motion_values` of shape `(B, 3, max_frames, 5 * patch_size)`, float32 (a person axis behind B for
              several persons; J instead of `5 * patch_size` for `input_kind="frames"`),
            - `motion_attention_mask` of shape `(B, max_frames / patch_size, 5)`, int64, with `padding="mask"`, or where
              a skeleton lacks a body part: 1 for a patch to attend to.

        Raises:
            MotionInputError: A motion that cannot be read; its message says which and why.
        """
        if kwargs:
            raise TypeError(f"Unknown arguments {sorted(kwargs)}; options are set when the extractor is made.")
        prepared = self.prepare(motions, skeleton, fps)
        if not prepared:
            raise MotionInputError("No motion was given.")
        return self.pad(prepared, return_tensors)

    def prepare(self, motions, skeleton=None, fps=None) -> list[tuple[np.ndarray, Skeleton]]:
        """The first half of [`__call__`]: motions checked, at the extractor's rate, canonical; what can fail is here.

        Args:
            motions, skeleton, fps: As in [`__call__`].

        Returns:
            `list`: (positions [m], `Skeleton`) of each motion; positions `(3, T', J)` and float32, with a person axis in
            front of J for several persons.

        Raises:
            MotionInputError: A motion that cannot be read; its message says which and why.
        """
        return list(self._prepare(motions, skeleton, fps))

    def pad(
        self,
        prepared: Sequence[tuple[np.ndarray, Skeleton]],
        return_tensors: str | None = None,
        num_frames: int | None = None,
    ) -> BatchFeature:
        """The second half of [`__call__`]: what [`prepare`] returned -> a padded batch of patches.

        Args:
            prepared (`Sequence`): At least one; each is cut to the first `max_frames`.
            return_tensors (`"pt"` or `"np"`, *optional*): numpy by default.
            num_frames (`int`, *optional*): Height of the batch instead of `max_frames`, a multiple of the patch size.
        """
        height = self.max_frames if num_frames is None else num_frames
        people = () if self.num_persons == 1 else (self.num_persons,)
        width, columns = self.num_points, len(self.part_order)
        if self.input_kind == "frames":
            width, columns = prepared[0][0].shape[-1], 1
        # Each clip is computed in its place, which is the only memory that is written.
        values = np.empty((len(prepared), *people, 3, height, width), dtype=np.float32)
        mask = np.zeros((len(prepared), *people, height // self.token_frames, columns), dtype=np.int64)
        incomplete = False
        for index, ((channels, skeleton), affine) in enumerate(zip(prepared, self._affine_of_all(prepared))):
            length = min(channels.shape[1], height)
            self._normalized(channels, skeleton, affine, values[index, ..., :length, :])
            values[index, ..., length:, :] = 0
            rows = -(-length // self.token_frames) if self.padding == "mask" else None
            present = 1
            if columns > 1 and not all(skeleton.chains[part] for part in self.part_order):
                present = np.array([bool(skeleton.chains[part]) for part in self.part_order], dtype=np.int64)
                incomplete = True
            mask[index, ..., :rows, :] = present
        data = {"motion_values": values}
        if self.padding == "mask" or incomplete:
            data["motion_attention_mask"] = mask
        return BatchFeature(data, tensor_type=return_tensors)

    def to_dict(self) -> dict:
        """JSON-serialisable settings, the statistics among them."""
        output = super().to_dict()
        output.pop("_maps", None)
        for name in ("mean", "std"):
            if output.get(name) is not None:
                output[name] = np.asarray(output[name], dtype=np.float32).tolist()
        return output


__all__ = ["MotionPatchFeatureExtractor"]
