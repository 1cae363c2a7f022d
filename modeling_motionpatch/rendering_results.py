"""Hits -> one HTML page on which they move beside their captions (paper, Fig. 5), as a file or in a notebook."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .rendering_base import RenderingError, check_suffix
from .rendering_html import player_page
from .rendering_moments import Moment, MotionSource, player_clip
from .skeletons_motionpatch import Skeleton, get_skeleton


_NOTEBOOK_HEIGHT = 560  # pixels: one row of hits with heading


@dataclass(frozen=True)
class HtmlView:
    """A page that notebooks show as it is.

    Args:
        html (`str`): The whole page.
        height (`int`): Pixels in a notebook.
    """

    html: str
    height: int = _NOTEBOOK_HEIGHT

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" width="100%" height="{self.height}" '
            'style="border:0" title="motions"></iframe>'
        )

    def __repr__(self) -> str:
        return f"HtmlView({len(self.html)} characters; .save('page.html') writes it)"

    def save(self, path: "str | Path") -> Path:
        """Writes the page to a `.html` file."""
        path = check_suffix(path, (".html", ".htm"))
        path.write_text(self.html, encoding="utf-8")
        return path


def show_results(hits, motions=None, *, query=None, title: str = "Motion search") -> HtmlView:
    """Shows hits as moving skeletons, best first, with caption, score, start and end.

    Args:
        hits (`list`): What [`MotionGallery.search`] or `pipeline("motion-retrieval")` returned for one query, or for
            several (a list of lists).
        motions (*optional*): What the gallery was built from, or a [`MotionSource`]. Hits whose motion is not found are
            shown with a sentence in place of the picture.
        query (`str` or `Sequence[str]`, *optional*): The query, or queries, as a heading.
        title (`str`, *optional*): Of the page.

    Returns:
        [`HtmlView`]: Shown by a notebook; `.save(path)` writes it.

    Raises:
        RenderingError: There is no list of hits, or another number of queries.

    Example:

    ```python
    >>> hits = gallery.search("a person waves", k=6)  # doctest: +SKIP
    >>> show_results(hits, motions="my_bvh_files", query="a person waves").save("hits.html")  # doctest: +SKIP
    ```
    """
    source = MotionSource.of(motions)
    clips: list[dict] = []
    sections = []
    for heading, group in _groups(hits, query):
        cards = "".join(_card(rank, hit, source, clips) for rank, hit in enumerate(group, 1))
        above = f"<h2>{html.escape(heading)}</h2>" if heading else ""
        sections.append(f'<section>{above}<ol class="hits">{cards or "<li>no hits</li>"}</ol></section>')
    return HtmlView(player_page(title, "".join(sections), clips))


def render_results(
    hits, path: "str | Path" = "results.html", motions=None, *, query=None, title: str = "Motion search"
) -> Path:
    """Writes the page of [`show_results`] to a file.

    Args:
        hits, motions, query, title: As in [`show_results`].
        path (`str` or `Path`): A `.html` file to write.

    Returns:
        `Path`: The file.
    """
    path = check_suffix(path, (".html", ".htm"))
    return show_results(hits, motions, query=query, title=title).save(path)


def show_motion(
    motion, skeleton: "str | Skeleton | None" = None, *, fps: float | None = None, caption: str = ""
) -> HtmlView:
    """Shows one motion as a moving skeleton.

    Args:
        motion (`np.ndarray` of shape `(T, J, 3)`, or an object with `joints`, `fps` and `skeleton`): Metres, +Y up.
        skeleton (`str` or `Skeleton`, *optional*): What the joints are; `"smpl22"` where nothing says.
        fps (`float`, *optional*): Frames a second; 20 where nothing says.
        caption (`str`, *optional*): Written under it.

    Returns:
        [`HtmlView`]

    Example:

    ```python
    >>> from modeling_motionpatch.data.generated import generate_motion
    >>> show_motion(generate_motion("walk", rng=0)).save("walk.html")  # doctest: +SKIP
    ```
    """
    skeleton = getattr(motion, "skeleton", "smpl22") if skeleton is None else skeleton
    fps = getattr(motion, "fps", 20.0) if fps is None else fps
    clip = player_clip(Moment(getattr(motion, "joints", motion), get_skeleton(skeleton), fps))
    text = f'<p class="caption">{html.escape(caption)}</p>' if caption else ""
    card = f'<ol class="hits"><li class="hit"><div class="stage" data-clip="0"></div>{text}</li></ol>'
    return HtmlView(player_page(caption or "Motion", card, [clip], heading=False), height=440)


# --------------------------------------------------------------------------------------------------------------------
# Parts of the page


def _groups(hits, query) -> list[tuple[str, list]]:
    """(heading, hits) of each query."""
    if isinstance(hits, (str, dict)) or not isinstance(hits, Sequence):
        raise RenderingError(f"`hits` is a {type(hits).__name__}; a list, as a search returns it, is needed.")
    several = bool(hits) and all(isinstance(item, (list, tuple)) for item in hits)
    groups = [list(group) for group in hits] if several else [list(hits)]
    queries = [""] * len(groups) if query is None else [query] if isinstance(query, str) else list(query)
    if len(queries) != len(groups):
        raise RenderingError(f"{len(groups)} lists of hits but {len(queries)} values of `query`; give one each.")
    for group in groups:
        for hit in group:
            if not hasattr(hit, "get") or hit.get("id") is None:
                raise RenderingError(f"{hit!r:.80} is no hit: it has no `id`.")
    return list(zip(map(str, queries), groups))


def _card(rank: int, hit, source: MotionSource, clips: list[dict]) -> str:
    try:
        clips.append(player_clip(source.moment(hit)))
        stage = f'<div class="stage" data-clip="{len(clips) - 1}"></div>'
    except RenderingError as error:
        stage = f'<p class="missing">{html.escape(str(error))}</p>'
    start, end = hit.get("start"), hit.get("end")
    facts = [f"<span>score <b>{hit['score']:.3f}</b></span>"]
    if start is not None and end is not None:
        facts.append(f"<span>{start:.1f} – {end:.1f} s</span>")
    caption, name = html.escape(hit.get("caption") or ""), html.escape(str(hit["id"]))
    if caption:
        facts.append(f"<span>{name}</span>")
    else:
        caption = name
    return (
        f'<li class="hit">{stage}<p class="caption"><span class="rank">{rank}</span>{caption}</p>'
        f'<p class="facts">{"".join(facts)}</p></li>'
    )


__all__ = ["HtmlView", "render_results", "show_motion", "show_results"]
