"""A clone of the official repository -> its data set and model classes, loaded file by file.

The official Motion Patches code (github.com/line/MotionPatches, CC BY-NC 4.0) is read from the path of a clone that the
user fetched; nothing of it is in this repository. Its data set needs `pip install opencv-python-headless einops`; its
model needs neither.
"""

import functools
import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np


REPOSITORY = "https://github.com/line/MotionPatches"
FPS = 20.0  # HumanML3D's frame rate, and that of the packed clips
MAX_FRAMES = 224  # the official window: 14 patches of 16 frames


class OfficialCodeError(ValueError):
    """The path given for the official code does not hold it, or what it needs is not installed."""


class OfficialCode:
    """The official classes, loaded one file at a time from a clone.

    By file, because its package is called `datasets` like Hugging Face's: nothing is added to `sys.path` and no module
    of this process is shadowed.

    Args:
        path (`str` or `Path`): Work tree of a clone of the official repository.

    Raises:
        OfficialCodeError: The files are not there; on first use of a class, a package that it imports is missing.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        for file in ("datasets/dataset.py", "models/clip.py"):
            if not (self.path / file).is_file():
                raise OfficialCodeError(
                    f"{self.path} has no {file}; clone {REPOSITORY} and give the path of the clone."
                )

    @functools.cached_property
    def TextMotionPatchDataset(self) -> type:
        """Its data set: motion files and captions -> `(caption, (3, 224, 80) float32, length, index)`."""
        module = self._load("datasets/dataset.py")
        module.tqdm = iter  # its progress bars would be timed and printed
        return module.TextMotionPatchDataset

    @functools.cached_property
    def ClipModel(self) -> type:
        """Its model: `model(motions, tokens, return_loss=True)` gives the loss; `encode_motion`, `encode_text`."""
        return self._load("models/clip.py").ClipModel

    def _load(self, file: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"official_motionpatches_{Path(file).stem}", self.path / file)
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            raise OfficialCodeError(
                f"The official {file} needs a package that is not installed ({error}); "
                "pip install opencv-python-headless einops timm transformers."
            ) from error
        return module

    def dataset(self, folder: str | Path, split: str, eval_mode: bool = False):
        """Its data set over one split of a folder that [`write_official_folder`] wrote.

        All clips are read and cut into points here, as it does; `eval_mode` takes the first caption and window.
        """
        folder = Path(folder)
        cfg = SimpleNamespace(
            dataset=SimpleNamespace(
                dataset_name="HumanML3D",
                data_root=str(folder),
                motion_dir=str(folder / "new_joints"),
                text_dir=str(folder / "texts"),
                max_motion_length=MAX_FRAMES,
                times=1,
                fps=int(FPS),
            ),
            preprocess=SimpleNamespace(padding=True),
        )
        mean, std = (np.load(folder / f"{name}_raw.npy", allow_pickle=False) for name in ("Mean", "Std"))
        dataset = self.TextMotionPatchDataset(
            cfg, mean, std, str(folder / f"{split}.txt"), eval_mode=eval_mode, patch_size=16, fps=True
        )
        listed = len((folder / f"{split}.txt").read_text().split())
        if len(dataset) != listed:  # it skips without a word what it cannot read
            raise OfficialCodeError(f"The official data set took {len(dataset)} of the {listed} clips of {split!r}.")
        return dataset
