"""AMASS `.npz` (SMPL-H or SMPL-X pose parameters) + the user's own body model -> joints `(T, 22, 3)`, metres, Z up.

AMASS stores rotations and shape, not positions; the body models that turn them into joints may not be passed on, so
`body_model=` names the user's copy. Models saved as `.npz` are read here, without unpickling; models saved as `.pkl`
are left to the `smplx` package (extra `smplx`).
"""

import os
from pathlib import Path

import numpy as np

from ..skeletons_motionpatch import get_skeleton
from .arrays import Archive
from .base import MotionFileError, RawMotion, check_fps, check_size


# Width of `poses` -> model, registered skeleton of all its joints. Three numbers (an axis-angle) a joint.
_MODELS = {156: ("smplh", "smplh52"), 165: ("smplx", "smplx55"), 72: ("smpl", "smpl24")}
_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")
_FK_FRAMES = 4096
_REMEDY = (
    "AMASS holds rotations, not positions: pass `body_model=` with your copy of the body model (mano.is.tue.mpg.de, "
    "smpl-x.is.tue.mpg.de; a folder with SMPLH_MALE.npz or male/model.npz). Models in .pkl need the optional extra: "
    "pip install modeling-motionpatch[smplx]."
)


def read_amass(
    archive: Archive, *, fps: float | None = None, body_model: str | os.PathLike | None = None
) -> RawMotion:
    """Joints of an AMASS sequence.

    Args:
        archive (`Archive`): The open `.npz`.
        fps (`float`, *optional*): Overrides the file's rate.
        body_model (`str` or `os.PathLike`, *optional*):
            Folder of SMPL-H, SMPL-X or SMPL models, or one model file. Needed.

    Returns:
        `RawMotion`: all joints of the model by name; `skeleton` is `smpl22`, HumanML3D's selection of them.

    Raises:
        MotionFileError: A key is missing or has a wrong shape, or the body model is not there.
    """
    path = archive.path
    poses = _numbers(archive, "poses", 2)
    if poses.shape[1] not in _MODELS:
        raise MotionFileError(
            f"{path}: key `poses` has {poses.shape[1]} columns; 156 (SMPL-H), 165 (SMPL-X) or 72 (SMPL) are known."
        )
    model, name = _MODELS[poses.shape[1]]
    skeleton = get_skeleton(name)
    trans = _numbers(archive, "trans", 2)
    if trans.shape != (len(poses), 3):
        raise MotionFileError(f"{path}: key `trans` has shape {trans.shape}; ({len(poses)}, 3) belongs to `poses`.")
    betas = _numbers(archive, "betas", None).reshape(-1) if "betas" in archive.keys else np.zeros(10)
    check_size(path, len(poses), skeleton.num_joints)
    if fps is None:
        key = next((key for key in _RATE_KEYS if key in archive.keys), None)
        if key is None:
            raise MotionFileError(f"{path}: no key `{_RATE_KEYS[0]}`; pass `fps=`.")
        fps = check_fps(path, float(_numbers(archive, key, None).reshape(-1)[:1].sum()), f"key `{key}`")
    if body_model is None:
        raise MotionFileError(f"{path}: {_REMEDY}")
    gender = _gender(archive)
    file = _find_model(path, Path(body_model), model, gender)
    notes = [f"joints by {file.name}, gender {gender}"]
    if file.suffix.lower() == ".npz":
        rest, parents = _rest_joints(file, betas, skeleton.num_joints)
        joints = _forward_kinematics(poses.reshape(len(poses), -1, 3), trans, rest, parents)
    else:
        joints = _joints_by_smplx(path, file, model, gender, poses, trans, betas)[:, : skeleton.num_joints]
    return RawMotion(
        joints=joints,
        names=list(skeleton.joints),
        parents=list(skeleton.parents),
        fps=fps,
        units=1.0,
        up="z",
        skeleton=get_skeleton("smpl22"),
        notes=notes,
    )


def _numbers(archive: Archive, key: str, ndim: int | None) -> np.ndarray:
    array = archive.read(key)
    if array.dtype.kind not in "fiu" or (ndim is not None and array.ndim != ndim) or not array.size:
        raise MotionFileError(
            f"{archive.path}: key `{key}` is {array.dtype} of shape {array.shape}; numbers are needed."
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        where = f" in frame {int(np.argmin(np.isfinite(array).all(axis=1)))}" if array.ndim == 2 else ""
        raise MotionFileError(f"{archive.path}: key `{key}` is not finite{where}.")
    return array


def _gender(archive: Archive) -> str:
    if "gender" not in archive.keys:
        return "neutral"
    array = archive.read("gender")
    value = array.reshape(-1)[0] if array.size and array.dtype.kind in "US" else "neutral"
    value = (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip("b'\" ").lower()
    return value if value in ("male", "female", "neutral") else "neutral"


def _find_model(path: str, place: Path, model: str, gender: str) -> Path:
    """The model file of a gender, else the neutral one."""
    if place.is_file():
        return place
    if not place.is_dir():
        raise MotionFileError(f"{path}: body_model={str(place)!r} does not exist. {_REMEDY}")
    tried = []
    for sex in dict.fromkeys((gender, "neutral")):
        for suffix in (".npz", ".pkl"):
            for folder in (place, place / model):
                for name in (f"{model.upper()}_{sex.upper()}{suffix}", f"{sex}/model{suffix}"):
                    if (folder / name).is_file():
                        return folder / name
                    tried.append(name)
    raise MotionFileError(
        f"{path}: no {model} model for gender {gender!r} in {place} (looked for {', '.join(dict.fromkeys(tried))})."
    )


def _rest_joints(file: Path, betas: np.ndarray, num_joints: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the shaped body in its rest pose, `(J, 3)`, and their parents."""
    archive = Archive(file)
    template, directions = _numbers(archive, "v_template", 2), _numbers(archive, "shapedirs", 3)
    regressor, tree = _numbers(archive, "J_regressor", 2), archive.read("kintree_table").astype(np.int64)
    if template.shape[1:] != (3,) or directions.shape[:2] != template.shape or regressor.shape[1] != len(template):
        raise MotionFileError(
            f"{file}: v_template {template.shape}, shapedirs {directions.shape} and J_regressor {regressor.shape} do "
            "not belong together."
        )
    if len(regressor) < num_joints or tree.ndim != 2 or tree.shape[1] != len(regressor):
        raise MotionFileError(f"{file}: a model of {len(regressor)} joints; {num_joints} are needed.")
    count = min(len(betas), directions.shape[2])
    vertices = template + directions[:, :, :count] @ betas[:count]
    parents = tree[0, :num_joints].copy()
    parents[0] = -1
    if np.any(parents[1:] >= np.arange(1, num_joints)) or np.any(parents[1:] < 0):
        raise MotionFileError(f"{file}: key `kintree_table` names a parent after its child.")
    return regressor[:num_joints] @ vertices, parents


def _rotation_matrices(vectors: np.ndarray) -> np.ndarray:
    """Axis-angle vectors `(..., 3)` -> `(..., 3, 3)` by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)[..., None]
    axis = vectors / np.maximum(angle[..., 0], 1e-12)
    x, y, z = np.moveaxis(axis, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def _forward_kinematics(poses: np.ndarray, trans: np.ndarray, rest: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Axis-angles `(T, J, 3)` about the joints of the rest pose -> positions `(T, J, 3)` float32.

    The body is moved by `trans`; the root joint itself stays where the shaped body has it.
    """
    out = np.empty((len(poses), len(rest), 3), dtype=np.float32)
    for first in range(0, len(poses), _FK_FRAMES):
        local = _rotation_matrices(poses[first : first + _FK_FRAMES])
        world, positions = [local[:, 0]], [rest[0] + trans[first : first + _FK_FRAMES]]
        for joint in range(1, len(rest)):
            parent = parents[joint]
            positions.append(positions[parent] + world[parent] @ (rest[joint] - rest[parent]))
            world.append(world[parent] @ local[:, joint])
        out[first : first + _FK_FRAMES] = np.stack(positions, axis=1)
    return out


def _joints_by_smplx(
    path: str, file: Path, model: str, gender: str, poses: np.ndarray, trans: np.ndarray, betas: np.ndarray
) -> np.ndarray:
    try:
        import smplx
        import torch
    except ImportError as error:
        raise MotionFileError(
            f"{path}: {file} is a pickled model, which needs the package `smplx`. {_REMEDY}"
        ) from error
    options = {} if model == "smpl" else {"use_pca": False, "flat_hand_mean": True}
    body = smplx.create(
        str(file), model_type=model, gender=gender, ext="pkl", num_betas=len(betas), batch_size=1, **options
    )
    joints = []
    with torch.no_grad():
        for first in range(0, len(poses), 256):  # the package also makes all vertices: 20 MB a 256 frames
            pose = torch.as_tensor(poses[first : first + 256], dtype=torch.float32)
            if model == "smpl":
                parts = {"body_pose": pose[:, 3:72]}
            else:
                hands = 66 if model == "smplh" else 75
                parts = {
                    "body_pose": pose[:, 3:66],
                    "left_hand_pose": pose[:, hands : hands + 45],
                    "right_hand_pose": pose[:, hands + 45 : hands + 90],
                }
                if model == "smplx":
                    parts |= {"jaw_pose": pose[:, 66:69], "leye_pose": pose[:, 69:72], "reye_pose": pose[:, 72:75]}
                    parts["expression"] = torch.zeros(len(pose), body.num_expression_coeffs)
            output = body(
                global_orient=pose[:, :3],
                transl=torch.as_tensor(trans[first : first + 256], dtype=torch.float32),
                betas=torch.as_tensor(betas, dtype=torch.float32).expand(len(pose), -1),
                **parts,
            )
            joints.append(output.joints.numpy())
    return np.concatenate(joints)
