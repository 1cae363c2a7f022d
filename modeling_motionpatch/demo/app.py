"""Gallery, model and motions -> the demo: texts and uploaded motion files in, hits with moving skeletons out.

`DemoApp` answers queries and knows nothing of HTTP, `server.py` is its face in the browser.
"""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..embedding_motionpatch import encode_motion, encode_text
from ..rendering_base import RenderingError
from ..rendering_moments import MAX_SECONDS, Moment, MotionSource, player_clip
from .uploads import UploadError, read_upload


DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 7860
DEFAULT_HITS, MAX_HITS = 8, 24  # a hit is about 80 kB of joints for the browser
MAX_TEXT = 1000  # characters; the models read a few dozen words
MAX_UPLOAD_MB = 20.0  # about ten minutes of a 31-joint BVH file at 30 fps
MAX_UPLOAD_SECONDS = 600.0  # of motion: ten minutes are about 110 windows, a few seconds of a CPU
BUSY_SECONDS = 60.0  # that a query waits for those before it
DEMO_CLIPS = 150  # generated motions, where no gallery is given: a few seconds to make and to index
EXAMPLES = (
    "a person waves with the right hand",
    "someone walks in a circle",
    "a person jumps forward",
    "a person kicks with the left leg",
    "someone sits down",
)
_EXAMPLE_ROWS = 60  # rows whose captions are looked at for examples
_EXAMPLE_LENGTH = 60  # characters


class DemoError(ValueError):
    """A query that cannot be answered, or a demo that cannot be started; the message is shown to whoever asked."""


class DemoApp:
    """The demo of one gallery; [`build_app`] makes it.

    Args:
        gallery (`MotionGallery`): What is searched; it has, or can load, the model that made it.
        source (`MotionSource`): Where the motions of its hits are.
        examples (`Sequence[str]`): Queries to click on.
        title (`str`): Of the page.
        max_upload_mb (`float`): Of an uploaded motion [10^6 bytes].
    """

    def __init__(self, gallery, source: MotionSource, examples: Sequence[str], title: str, max_upload_mb: float):
        if not len(gallery):
            raise DemoError("The gallery is empty, so there is nothing to search.")
        self.gallery, self.source = gallery, source
        self.model, self.processor = gallery.encoder()
        self.examples, self.title = list(examples), title
        self.max_upload_bytes = int(max_upload_mb * 1e6)
        self._lock = threading.Lock()  # one query at a time: torch uses all cores for each

    def info(self) -> dict:
        """What the page has to know before the first query."""
        from ..io import MOTION_SUFFIXES

        return {
            "title": self.title,
            "examples": self.examples,
            "windows": len(self.gallery),
            "max_upload_bytes": self.max_upload_bytes,
            "max_text": MAX_TEXT,
            "suffixes": [*MOTION_SUFFIXES, ".asf"],
            "hits": min(DEFAULT_HITS, len(self.gallery)),
        }

    # ------------------------------------------------------------------------------------------------ queries

    def search_text(self, text, k: int = DEFAULT_HITS) -> dict:
        """Hits of a text. A text is never taken for a path, whatever it ends in.

        Args:
            text (`str`): What a person does.
            k (`int`, *optional*, defaults to 8): Number of hits, at most 24.

        Returns:
            `dict`: `hits` (each with `id`, `row`, `score`, `start`, `end`, `caption`, `clip` or `missing`), `seconds`.

        Raises:
            DemoError: No text, or one that is too long.
        """
        if not isinstance(text, str) or not text.strip():
            raise DemoError("Type what a person does, for example: a person waves.")
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # halves of characters, which JSON lets through
            raise DemoError("The text holds characters that are none; type it again.")
        if len(text) > MAX_TEXT:
            raise DemoError(f"The text has {len(text)} characters; at most {MAX_TEXT} are read.")
        return self._answer(lambda: encode_text(self.model, self.processor, text.strip())[0], k)

    def search_files(self, files: Sequence[tuple[str, bytes]], k: int = DEFAULT_HITS) -> dict:
        """Hits of an uploaded motion.

        Args:
            files (`Sequence[tuple[str, bytes]]`): Name and content; the name only tells the kind of file. An AMC file
                comes with its ASF file.
            k (`int`, *optional*, defaults to 8): Number of hits.

        Returns:
            `dict`: As [`DemoApp.search_text`], and `clip` (the motion itself) and `notes` (what its reader found).

        Raises:
            DemoError: No motion, or one that is too long.
        """
        size = sum(len(content) for _, content in files)
        if size > self.max_upload_bytes:
            raise DemoError(f"{size / 1e6:.1f} MB are too much; at most {self.max_upload_bytes / 1e6:g} MB are read.")
        self._acquire()
        try:
            motion, name = read_upload(files)
        except UploadError as error:
            raise DemoError(str(error)) from error
        finally:
            self._lock.release()
        if motion.duration > MAX_UPLOAD_SECONDS:
            raise DemoError(
                f"{name}: {motion.duration:.0f} s are too long for the demo, which reads {MAX_UPLOAD_SECONDS:.0f} s; "
                "use `motionpatch search` for long takes."
            )
        try:
            answer = self._answer(lambda: encode_motion(self.model, self.processor, motion)[0], k)
        except ValueError as error:
            raise DemoError(f"{name}: {error}") from error
        beginning = motion.joints[: max(1, int(MAX_SECONDS * motion.fps))]
        shown = Moment(beginning, motion.skeleton, motion.fps)
        facts = f"{name}: {motion.duration:.1f} s at {motion.fps:g} fps, {motion.skeleton.num_joints} joints"
        return {**answer, "clip": player_clip(shown), "caption": facts, "notes": list(motion.notes)}

    def search_similar(self, row, k: int = DEFAULT_HITS) -> dict:
        """Hits like a motion of the gallery, itself left out.

        Args:
            row (`int`): A row of the gallery, as hits have it.
            k (`int`, *optional*, defaults to 8): Number of hits.
        """
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < len(self.gallery):
            raise DemoError(f"The gallery has no row {row!r:.40}.")
        motion_id = self.gallery._hit(0.0, row).id
        return self._answer(None, k, lambda count: self.gallery.similar(motion_id, count))

    def _answer(self, encode, k, search=None) -> dict:
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_HITS:
            raise DemoError(f"The number of hits is {k!r:.40}; it must be from 1 to {MAX_HITS}.")
        started = time.perf_counter()
        self._acquire()
        try:
            hits = search(k) if search else self.gallery.search_embeddings(encode(), k)
        finally:
            self._lock.release()
        seconds = time.perf_counter() - started
        return {"hits": [self._shown(hit) for hit in hits], "seconds": round(seconds, 4)}

    def _acquire(self) -> None:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise DemoError("The demo is busy with other queries; try again in a minute.")

    def _shown(self, hit) -> dict:
        """A hit for the browser: no paths of this machine, but the joints."""
        shown = {
            "id": str(hit.id), "row": hit.index, "score": round(hit.score, 4), "start": hit.start, "end": hit.end,
            "caption": hit.caption or "", "clip": None, "missing": "",
        }  # fmt: skip
        try:
            shown["clip"] = player_clip(self.source.moment(hit))
        except RenderingError:
            shown["missing"] = "The motion itself is not at hand, so it is not shown."
        return shown

    # ------------------------------------------------------------------------------------------------ serving

    def start(self, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT):
        """Serves in a thread; returns a server with `url` and `close()`. Port 0 takes a free one."""
        from .server import DemoServer

        return DemoServer(self, host, port).start()

    def launch(self, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT, *, open_browser: bool = False) -> None:
        """Serves until interrupted.

        Args:
            host (`str`, *optional*, defaults to `"127.0.0.1"`): Only this machine reaches the demo; `"0.0.0.0"` lets
                everybody who reaches the machine search the gallery.
            port (`int`, *optional*, defaults to 7860): 0 takes a free one.
            open_browser (`bool`, *optional*, defaults to `False`): Open the page in the default browser.

        Raises:
            DemoError: The port is taken, or the host is not one of this machine.
        """
        server = self.start(host, port)
        try:
            print(f"{self.title}: {server.url} (stop with Ctrl+C)", flush=True)
            if open_browser:
                import webbrowser

                webbrowser.open(server.url)
            server.wait()
        except KeyboardInterrupt:
            print()
        finally:
            server.close()


def build_app(
    gallery=None,
    model=None,
    processor=None,
    *,
    motions=None,
    examples: Sequence[str] | None = None,
    title: str = "Motion search",
    max_upload_mb: float = MAX_UPLOAD_MB,
) -> DemoApp:
    """Makes the demo of a gallery.

    Args:
        gallery (`MotionGallery`, `str` or `os.PathLike`, *optional*): A gallery, the folder of one, or its name on the
            Hub. Without it, the model indexes 150 generated motions, which needs neither network nor data.
        model (`MotionPatchModel`, `str` or `os.PathLike`, *optional*): Default: the one named in the gallery, or the
            packaged checkpoint.
        processor (`MotionPatchProcessor`, *optional*): Default: the one beside the model.
        motions (*optional*): What the gallery was built from (a folder, a `datasets.Dataset`, a list), to show the
            hits; see [`MotionSource`]. Generated motions are made again from their ids.
        examples (`Sequence[str]`, *optional*): Queries to click on; default: captions of the gallery.
        title (`str`, *optional*): Of the page.
        max_upload_mb (`float`, *optional*, defaults to 20): Largest uploaded motion [10^6 bytes].

    Returns:
        [`DemoApp`]: `.launch()` serves it, `.start()` does in a thread.

    Raises:
        DemoError: Nothing to search, or a limit that is not above zero.
        GalleryError: The gallery cannot be opened, or another model made it.

    Example:

    ```python
    >>> from modeling_motionpatch.demo import build_app
    >>> build_app().launch()  # doctest: +SKIP
    Motion search: http://127.0.0.1:7860/ (stop with Ctrl+C)
    ```
    """
    from ..gallery import MotionGallery

    if not 0 < max_upload_mb < float("inf"):
        raise DemoError(f"`max_upload_mb` is {max_upload_mb!r}; it must be a number above zero.")
    if model is not None and isinstance(model, (str, os.PathLike)) or (gallery is None and model is None):
        model, processor = _load_model(model, processor)
    if gallery is None:
        gallery, motions = _generated_gallery(model, processor)
    elif isinstance(gallery, (str, os.PathLike)):
        gallery = MotionGallery.load(gallery, model, processor)
    elif model is not None:
        gallery.check_model(model, processor)
        gallery.model, gallery.processor = model, processor
    examples = _examples(gallery) if examples is None else list(examples)
    return DemoApp(gallery, MotionSource.of(motions), examples, title, max_upload_mb)


def serve(
    gallery=None, model=None, processor=None, *, host=DEFAULT_HOST, port=DEFAULT_PORT, open_browser=False, **kwargs
):
    """Builds the demo and serves it until interrupted; arguments as of [`build_app`] and [`DemoApp.launch`]."""
    build_app(gallery, model, processor, **kwargs).launch(host, port, open_browser=open_browser)


# --------------------------------------------------------------------------------------------------------------------
# Defaults


def _load_model(name, processor):
    from ..modeling_motionpatch import MotionPatchModel
    from ..pipeline_motionpatch import DEFAULT_CHECKPOINT
    from ..processing_motionpatch import MotionPatchProcessor

    if name is None:
        if not DEFAULT_CHECKPOINT.is_dir():
            raise DemoError("This installation has no packaged checkpoint; pass `model=`.")
        name = DEFAULT_CHECKPOINT
    name = os.fspath(name) if Path(name).exists() else str(name)
    model = MotionPatchModel.from_pretrained(name).eval()
    return model, MotionPatchProcessor.from_pretrained(name) if processor is None else processor


def _generated_gallery(model, processor):
    """Generated motions that no training has seen -> their gallery, and the motions for their hits."""
    from ..data.generated import generate_motions
    from ..data.generated.dataset import DEFAULT_SKELETONS
    from ..gallery import MotionGallery

    if processor is None:
        raise DemoError("A model that is passed as an object needs its `processor=`.")
    clips = generate_motions(DEMO_CLIPS, DEFAULT_SKELETONS, split="test")
    ids, captions = [clip.id for clip in clips], [clip.captions for clip in clips]
    gallery = MotionGallery.build(model, processor, clips, ids=ids, captions=captions, progress=False)
    return gallery, MotionSource(clips, ids)


def _examples(gallery) -> list[str]:
    """Short captions of the gallery, spread over it; sentences of our own where it has none."""
    rows = np.unique(np.linspace(0, len(gallery) - 1, min(_EXAMPLE_ROWS, len(gallery))).astype(int))
    captions = [gallery._hit(0.0, int(row)).caption for row in rows]
    short = list(dict.fromkeys(text for text in captions if text and len(text) <= _EXAMPLE_LENGTH))
    step = max(1, len(short) // len(EXAMPLES))
    return short[::step][: len(EXAMPLES)] or list(EXAMPLES)
