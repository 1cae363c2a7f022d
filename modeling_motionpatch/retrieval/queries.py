"""Texts and motions as queries -> vectors (Q, P) by the gallery's model -> hits; and whether a model is the gallery's."""

import os
from collections.abc import Sequence

import numpy as np

from ..embedding_motionpatch import as_motion_lists, encode_motion, encode_text
from .identity import ModelIdentity, model_path
from .sources import takes_of
from .storage import GalleryError, Windows
from .vectors import VectorGallery


class QueryGallery(VectorGallery):
    """A gallery with the model that embeds its queries; [`MotionGallery`] adds how it is made and stored.

    Args:
        parts, dim, dtype: As of [`VectorGallery`].
        model (`MotionPatchModel`, *optional*): Loaded when a query first needs it, where the gallery names one.
        processor (`MotionPatchProcessor`, *optional*): The model's.
    """

    def __init__(self, parts: Sequence[Windows], dim: int, dtype: str = "float32", model=None, processor=None):
        super().__init__(parts, dim, dtype)
        self.model, self.processor = model, processor
        self.identity: ModelIdentity | None = None
        self._checked: tuple = ()  # model and processor that were found to be those of the embeddings

    # ------------------------------------------------------------------------------------------------ searching

    def search(self, query, k: int = 10, *, skeleton=None, fps=None, **options):
        """Finds motions by text or by motion.

        Args:
            query: A text; a motion (array `(T, J, 3)`, object or dict with `joints`, `fps` and `skeleton`, or the path
                of a motion file); or a list of these. A motion longer than the model reads stands for the mean of its
                windows.
            k (`int`, *optional*, defaults to 10): Hits a query.
            skeleton, fps (*optional*): Of motions that do not say.
            options: Of [`MotionGallery.search_embeddings`].

        Returns:
            `list[Hit]`, best first, or a list of such lists for a list of queries.

        Raises:
            GalleryError: The gallery has no model, or another one than it was made with.
        """
        many = isinstance(query, (list, tuple))
        queries = list(query) if many else [query]
        if not queries:
            return []
        hits = self.search_embeddings(self.encode(queries, skeleton=skeleton, fps=fps), k, **options)
        return hits if many else hits[0]

    def localize(self, take, text: str, k: int = 5, *, skeleton=None, fps=None, window=None, stride=None):
        """Finds the moments of one take at which a text happens; see [`localize`].

        Args:
            take: A motion (array, object, dict or path), of any length; it need not be in the gallery.
            text (`str`): The description.
            k (`int`, *optional*, defaults to 5): At most so many moments.
            skeleton, fps (*optional*): Of an array.
            window, stride (`float`, *optional*): Seconds.

        Returns:
            `Localization`: `moments` and, over time, `times` [s] and `scores`.
        """
        from .localization import localize

        model, processor = self.encoder()
        return localize(model, processor, take, text, k, skeleton=skeleton, fps=fps, window=window, stride=stride)

    # ------------------------------------------------------------------------------------------------ the model

    def check_model(self, model, processor=None) -> None:
        """Makes sure that a model's embeddings can be compared with the gallery's.

        Raises:
            GalleryError: It is another model, or other preprocessing; the message says what differs.
        """
        dim = int(model.config.projection_dim)
        if dim != self.dim:
            raise GalleryError(f"The model's embeddings are {dim} wide, the gallery's {self.dim}: not the same model.")
        if self.identity is None:
            return
        different = self.identity.differences(ModelIdentity.of(model, processor))
        if different:
            raise GalleryError(
                f"This gallery was made with another model ({self.identity.name or 'unnamed'}): the one at hand "
                f"({getattr(model.config, '_name_or_path', '') or 'unnamed'}) has {'; '.join(different)}. Search with "
                "the model that made it, or build it again."
            )

    def encoder(self):
        """The model and the processor that embed queries; those named in the gallery are loaded where none were given.

        Raises:
            GalleryError: None is named, they cannot be loaded, or they are not those that made the gallery.
        """
        if self.model is None:
            name = "" if self.identity is None else self.identity.name
            if not name:
                raise GalleryError(
                    "This gallery has no model to embed queries with; pass `model=` and `processor=` to "
                    "`MotionGallery.load` or `from_embeddings`, or use `search_embeddings`."
                )
            from ..modeling_motionpatch import MotionPatchModel
            from ..processing_motionpatch import MotionPatchProcessor

            try:
                model = MotionPatchModel.from_pretrained(model_path(name)).eval()
                processor = MotionPatchProcessor.from_pretrained(model_path(name))
            except (OSError, ValueError) as error:
                raise GalleryError(
                    f"This gallery was made with {name!r}, which cannot be loaded ({error}). Pass `model=` and "
                    "`processor=` to `MotionGallery.load`."
                ) from error
            self.model, self.processor = model, processor
        if self.processor is None:
            raise GalleryError("The gallery has a model but no processor; set `gallery.processor`, too.")
        if self._checked != (id(self.model), id(self.processor)):
            self.check_model(self.model, self.processor)
            self._checked = (id(self.model), id(self.processor))
        return self.model, self.processor

    def encode(self, queries: Sequence, *, skeleton=None, fps=None) -> np.ndarray:
        """Texts and motions, mixed as they come -> what is compared with the gallery's rows.

        Args:
            queries (`Sequence`): As of [`MotionGallery.search`].
            skeleton, fps (*optional*): Of motions that do not say.

        Returns:
            `np.ndarray` of shape `(Q, P)`, float32, of unit length.
        """
        if isinstance(queries, (str, os.PathLike)):
            raise GalleryError("`queries` is one text; put it into a list: encode([text]).")
        model, processor = self.encoder()
        embeds = np.empty((len(queries), self.dim), np.float32)
        motions = {}
        for index, query in enumerate(queries):
            if isinstance(query, str) and not _is_motion_file(query):
                continue
            (take,) = takes_of([query])
            joints, own_skeleton, own_fps = take.read()
            own = (skeleton if own_skeleton is None else own_skeleton, fps if own_fps is None else own_fps)
            arrays, skeletons, rates = as_motion_lists(processor.feature_extractor, [joints], *own)
            motions[index] = (arrays[0], skeletons[0], rates[0])
        texts = [index for index in range(len(queries)) if index not in motions]
        if texts:
            embeds[texts] = encode_text(model, processor, [queries[index] for index in texts])
        if motions:
            columns = [list(column) for column in zip(*motions.values())]
            embeds[list(motions)] = encode_motion(model, processor, *columns)
        return embeds


def _is_motion_file(text: str) -> bool:
    from ..io import MOTION_SUFFIXES

    return text.lower().endswith(MOTION_SUFFIXES)
