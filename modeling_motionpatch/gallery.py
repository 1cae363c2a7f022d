"""Motions of any length -> a gallery of embedded windows, searched by text, by motion or by vector, saved and shared."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .embedding_motionpatch import window_frames
from .retrieval.build import ShardedBuild, embed_takes, launched_processes
from .retrieval.identity import ModelIdentity
from .retrieval.index import FaissIndex
from .retrieval.queries import QueryGallery
from .retrieval.search import Hit
from .retrieval.sources import number_on, takes_of
from .retrieval.storage import (
    FILE_FORMATS,
    FORMAT,
    MANIFEST,
    VERSION,
    GalleryError,
    Windows,
    check_target,
    fresh_folder,
    read_folder,
    read_manifest,
    write_folder,
    write_json,
)
from .retrieval.vectors import check_dtype, windows_of_vectors


logger = logging.getLogger(__name__)

SUMMARY = 5  # skipped files that a log line names


class MotionGallery(QueryGallery):
    r"""
    Motions, embedded once and searched many times.

    A gallery has one row a window: takes that fit into what the model reads are one window, longer ones are cut into
    half-overlapping windows. [`MotionGallery.build`], [`MotionGallery.from_embeddings`] and [`MotionGallery.load`] make
    one.

    Attributes:
        model, processor: Embed queries; `None` where the gallery was made from vectors alone.
        identity (`ModelIdentity`, *optional*): Which model made the embeddings.
        skipped (`list[tuple[str, str]]`): (path, reason) of every file that could not be read.
        notes (`list[tuple[str, str]]`): (path, note) of every file of which a T pose in front was left out.
        window, stride (`float`, *optional*): Seconds.

    Example:

    ```python
    >>> from modeling_motionpatch import MotionGallery, MotionPatchModel, MotionPatchProcessor
    >>> model = MotionPatchModel.from_pretrained(folder)  # doctest: +SKIP
    >>> processor = MotionPatchProcessor.from_pretrained(folder)  # doctest: +SKIP
    >>> gallery = MotionGallery.build(model, processor, "my_bvh_files")  # doctest: +SKIP
    >>> for hit in gallery.search("a person waves", k=3):  # doctest: +SKIP
    ...     print(hit.id, round(hit.score, 3), hit.start, hit.end)
    ```
    """

    def __init__(self, parts: Sequence[Windows], dim: int, dtype: str = "float32", model=None, processor=None):
        super().__init__(parts, dim, dtype, model, processor)
        self.window: float | None = None
        self.stride: float | None = None
        self.skipped: list[tuple[str, str]] = []
        self.notes: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        made_by = f", model={self.identity.name!r}" if self.identity and self.identity.name else ""
        return f"MotionGallery({len(self)} windows, {self.dim} x {self.dtype}{made_by})"

    # ------------------------------------------------------------------------------------------------ making one

    @classmethod
    def build(
        cls,
        model,
        processor,
        motions,
        ids=None,
        captions=None,
        skeleton=None,
        fps: float | None = None,
        window: float | None = None,
        stride: float | None = None,
        batch_size: int = 32,
        progress: bool = True,
        dtype: str = "float32",
        resume_dir: str | os.PathLike | None = None,
        index: str | bool = "auto",
        keep_t_pose: bool = False,
    ) -> "MotionGallery":
        """Embeds motions.

        Args:
            model (`MotionPatchModel`): Runs on the device and in the dtype it has.
            processor (`MotionPatchProcessor`): The model's.
            motions: A list of arrays `(T, J, 3)` (metres, Y up), of objects or dicts with `joints`, `fps` and
                `skeleton`, or of paths; a `datasets.Dataset` with a column `motion`; a folder of motion files, with or
                without `metadata.jsonl`.
            ids (`Sequence`, *optional*): One a motion; default: the data set's, file names, or `"0"`, `"1"`, ...
            captions (`Sequence`, *optional*): A text or texts for each motion.
            skeleton (`str` or `Skeleton`, *optional*): Of motions that do not say; default: the extractor's.
            fps (`float`, *optional*): Of motions that do not say [1/s]; default: the extractor's.
            window (`float`, *optional*): Seconds a window; default: what the model reads.
            stride (`float`, *optional*): Seconds from one window to the next; default: half a window.
            batch_size (`int`, *optional*, defaults to 32): Windows a forward pass.
            progress (`bool`, *optional*, defaults to `True`): Show a progress bar.
            dtype (`"float32"` or `"float16"`, *optional*, defaults to `"float32"`): Of the stored embeddings.
            resume_dir (`str` or `os.PathLike`, *optional*):
                A folder for finished shards. After a kill, the same call goes on where it was; under `accelerate
                launch` (or `torchrun`) every process makes its share, and all get the whole gallery. Shard s of 256
                takes belongs to process `s % number of processes`. Delete the folder when the gallery is saved.
            index (`"auto"` or `bool`, *optional*, defaults to `"auto"`):
                Whether to build a FAISS index; `"auto"` does where there are more than 100,000 windows and faiss is
                installed.
            keep_t_pose (`bool`, *optional*, defaults to `False`): Whether a T pose that stands before the take in a file
                (frame 0, followed by a jump) is embedded with it. It is left out otherwise, and `notes` says of which
                files; times count from the frame after it.

        Returns:
            `MotionGallery`: `skipped` lists the files and rows that could not be read.

        Raises:
            ValueError: Nothing could be read, an array is wrong, ids occur twice, or `resume_dir` belongs to another
                build.
        """
        takes = takes_of(motions, ids, captions, keep_t_pose)
        identity = ModelIdentity.of(model, processor)
        check_dtype(dtype)
        extractor = getattr(processor, "feature_extractor", processor)
        frames, step = window_frames(extractor, window, stride)
        settings = {"skeleton": skeleton, "fps": fps, "window": window, "stride": stride, "batch_size": batch_size}
        rank, processes = (0, 1) if resume_dir is None else launched_processes()
        if resume_dir is None:
            with _bar(len(takes), progress) as bar:
                windows, skipped, notes = embed_takes(model, processor, takes, bar=bar, **settings)
            parts = [windows.astype(dtype)]
        else:
            shards = ShardedBuild(resume_dir, takes, identity, dtype, settings)
            with _bar(shards.share(rank, processes), progress and rank == 0) as bar:
                shards.run(model, processor, rank, processes, bar)
            shards.wait()
            parts, skipped, notes = shards.collect()
        if not any(len(part) for part in parts):
            raise GalleryError(
                f"None of {len(takes)} motions could be read. The first reasons: "
                + "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
            )
        if skipped:
            named = ", ".join(name for name, _ in skipped[:SUMMARY]) + (", ..." if len(skipped) > SUMMARY else "")
            logger.warning(
                f"{len(skipped)} of {len(takes)} motions could not be read and were left out ({named}); "
                "`.skipped` has the reasons."
            )
        gallery = cls(parts, identity.dim, dtype, model, processor)
        if notes:
            logger.info(f"{len(notes)} files begin with a T pose, which was left out; `.notes` names them.")
        gallery.identity, gallery.skipped, gallery.notes = identity, skipped, notes
        gallery.window, gallery.stride = frames / extractor.fps, step / extractor.fps
        gallery._maybe_index(index)
        return gallery

    @classmethod
    def from_embeddings(
        cls,
        embeddings,
        ids=None,
        captions=None,
        starts=None,
        ends=None,
        sources=None,
        dtype: str = "float32",
        model=None,
        processor=None,
        index: str | bool = False,
    ) -> "MotionGallery":
        """A gallery of vectors that were made elsewhere.

        Args:
            embeddings (`np.ndarray` or `torch.Tensor` of shape `(N, P)`): Divided by their lengths, unless they are unit
                vectors of the right dtype already: those are used as they are, without a copy.
            ids (`Sequence` of length N, *optional*): Texts or whole numbers; `"0"`, `"1"`, ... when not given.
            captions (`Sequence`, *optional*): A text, texts or `None` a row.
            starts, ends (`Sequence[float]`, *optional*): Seconds; rows of one id are windows of one take then, and
                overlapping ones are merged in the hits.
            sources (`Sequence[str]`, *optional*): Files.
            dtype (`"float32"` or `"float16"`, *optional*, defaults to `"float32"`): Of the stored embeddings.
            model, processor (*optional*): What made the embeddings, to search by text and by motion.
            index (`bool` or `"auto"`, *optional*, defaults to `False`): Whether to build a FAISS index.

        Raises:
            ValueError: Another shape, NaN, rows of length zero, or columns of another length.
        """
        windows = windows_of_vectors(embeddings, ids, captions, starts, ends, sources, dtype)
        gallery = cls([windows], windows.embeddings.shape[1], dtype, model, processor)
        if model is not None:
            gallery.identity = ModelIdentity.of(model, processor)
            if gallery.identity.dim != gallery.dim:
                raise GalleryError(f"The embeddings are {gallery.dim} wide, the model's {gallery.identity.dim}.")
        gallery._maybe_index(index)
        return gallery

    def add(
        self,
        motions,
        ids=None,
        captions=None,
        skeleton=None,
        fps=None,
        batch_size: int = 32,
        progress: bool = True,
        keep_t_pose: bool = False,
    ):
        """Embeds more motions, with the gallery's windows, and appends them.

        Args: As of [`MotionGallery.build`].

        Returns:
            `MotionGallery`: itself. A FAISS index is dropped; `build_index` makes a new one.

        Raises:
            ValueError: An id that the gallery has already (nothing is added then), or what `build` raises.
        """
        model, processor = self.encoder()
        takes = takes_of(motions, ids, captions, keep_t_pose)
        present = {str(value) for value in self.ids}
        if ids is None:
            number_on(takes, present)
        twice = [str(take.id) for take in takes if str(take.id) in present]
        if twice:
            raise GalleryError(f"The gallery already has {', '.join(twice[:10])}; give `ids=`, or remove these first.")
        settings = {"window": self.window, "stride": self.stride, "skeleton": skeleton, "fps": fps}
        with _bar(len(takes), progress) as bar:
            windows, skipped, notes = embed_takes(model, processor, takes, batch_size=batch_size, bar=bar, **settings)
        if not len(windows):
            raise GalleryError(
                f"None of {len(takes)} motions could be read: " + "; ".join(f"{n}: {r}" for n, r in skipped[:3])
            )
        self.skipped, self.notes = [*self.skipped, *skipped], [*self.notes, *notes]
        self._set_parts([*self._parts, windows.astype(self.dtype)])
        return self

    # ------------------------------------------------------------------------------------------------ files

    def save(
        self,
        folder: str | os.PathLike,
        *,
        file_format: str = "arrow",
        dtype: str | None = None,
        include_model: bool = False,
        further: Mapping[str, dict] | None = None,
    ) -> Path:
        """Writes the gallery to a folder, which appears, or is replaced, when everything is written.

        Args:
            folder (`str` or `os.PathLike`): A new or empty folder, or that of an earlier gallery.
            file_format (`"arrow"` or `"parquet"`, *optional*, defaults to `"arrow"`):
                `"arrow"` is mapped into memory when loaded, and `datasets.load_from_disk` opens it; `"parquet"` is what
                the Hub shows and other programs read.
            dtype (`"float32"` or `"float16"`, *optional*): Default: the gallery's.
            include_model (`bool`, *optional*, defaults to `False`): Put model and processor into the folder, too.
            further (`Mapping[str, dict]`, *optional*): JSON files of the caller's, by name, that appear with the rest.

        Returns:
            `Path`: the folder.
        """
        target = Path(folder).expanduser()
        dtype = check_dtype(self.dtype if dtype is None else dtype)
        if file_format not in FILE_FORMATS:
            raise GalleryError(f"`file_format` is {file_format!r}; it must be one of {FILE_FORMATS}.")
        check_target(target)
        with fresh_folder(target) as temporary:
            self._write(temporary, file_format, dtype, include_model)
            for name, content in (further or {}).items():
                write_json(temporary / name, content)
        return target

    def _write(self, folder: Path, file_format: str, dtype: str, include_model: bool) -> None:
        files = write_folder(folder, self._parts, self.dim, dtype, file_format)
        if include_model:
            model, processor = self.encoder()
            model.save_pretrained(folder / "model")
            processor.save_pretrained(folder / "model")
        if self._index is not None:
            self._index.save(folder)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "num_windows": len(self),
            "dim": self.dim,
            "dtype": dtype,
            "window_seconds": self.window,
            "stride_seconds": self.stride,
            "files": files,
            "index": None if self._index is None else {"recall": self._index.recall},
            "model": None if self.identity is None else self.identity.to_dict(),
            "skipped": [list(item) for item in self.skipped],
            "notes": [list(item) for item in self.notes],
        }
        write_json(folder / MANIFEST, manifest)

    @classmethod
    def load(
        cls, folder: str | os.PathLike, model=None, processor=None, *, revision: str | None = None, token=None
    ) -> "MotionGallery":
        """Opens a gallery.

        Args:
            folder (`str` or `os.PathLike`): What [`MotionGallery.save`] wrote, or the name of a data set on the Hub.
            model (`MotionPatchModel`, *optional*): Embeds queries. Without it, the model named in the gallery is loaded
                when a query first needs it.
            processor (`MotionPatchProcessor`, *optional*): The model's.
            revision, token (*optional*): For the Hub.

        Raises:
            GalleryError: No gallery, a broken one, or one that another model made.
        """
        path = Path(folder).expanduser()
        if not path.exists() and not path.with_name(f".{path.name}.old").exists() and _is_repo_id(str(folder)):
            from .retrieval.hub import download_gallery

            path = download_gallery(str(folder), revision, token)
        manifest = read_manifest(path)
        gallery = cls(read_folder(path, manifest), manifest["dim"], manifest["dtype"], model, processor)
        gallery.window, gallery.stride = manifest.get("window_seconds"), manifest.get("stride_seconds")
        gallery.skipped = [tuple(item) for item in manifest.get("skipped", [])]
        gallery.notes = [tuple(item) for item in manifest.get("notes", [])]
        if manifest.get("model"):
            gallery.identity = ModelIdentity.from_dict(manifest["model"])
            if (path / "model").is_dir():
                gallery.identity.name = str(path / "model")
        if model is not None:
            gallery.check_model(model, processor)
        if manifest.get("index"):
            try:
                gallery._index = FaissIndex.load(path, manifest["index"]["recall"])
            except (ImportError, RuntimeError) as error:
                logger.warning(f"{path}: the index is not used, and searches are exact. {error}")
        return gallery

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token=None,
        commit_message: str = "Upload motion gallery",
        file_format: str = "parquet",
        include_model: bool = False,
    ) -> str:
        """Uploads the gallery as a data set, from where `MotionGallery.load(repo_id)` opens it.

        Args:
            repo_id (`str`): `user/name`; created where it does not exist.
            private, token, commit_message (*optional*): As everywhere on the Hub.
            file_format, include_model (*optional*): Of [`MotionGallery.save`].

        Returns:
            `str`: address of the commit.
        """
        from .retrieval.hub import push_gallery

        return push_gallery(self, repo_id, private, token, commit_message, file_format, include_model)


# --------------------------------------------------------------------------------------------------------------------
# Details


def _is_repo_id(text: str) -> bool:
    return text.count("/") == 1 and not text.startswith((".", "~", "/"))


def _bar(total: int, show: bool):
    from tqdm import tqdm  # not that of transformers, which a training in the same process turns off

    return tqdm(total=total, disable=not show, desc="Indexing motions", unit="take")


__all__ = ["GalleryError", "Hit", "MotionGallery"]
