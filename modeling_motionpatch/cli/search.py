"""`motionpatch search`: a query -> moments of a gallery or of one take; `motionpatch classify`: motions -> labels."""

from pathlib import Path
from typing import Annotated

import typer

from ..console import without_loading_bars
from . import common
from .common import CommandError
from .sources import motions_of_gallery


DEMO = "demo"  # the gallery that comes with the package
CAPTION_WIDTH = 60  # characters of a caption in the table


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(
        "search",
        short_help="Find motions by text or by motion.",
        epilog=common.epilog(
            'motionpatch search gallery "a person waves" --top-k 5 --html hits.html',
            "motionpatch search gallery --motion example.bvh --json",
            'motionpatch search long_take.bvh "a person kicks" --plot curve.png',
            "motionpatch search duets --motion left.bvh --motion right.bvh   (two persons: one file each)",
        ),
    )(search)
    app.command(
        "classify",
        short_help="Choose the label that fits each motion best.",
        epilog=common.epilog('motionpatch classify walk.bvh jump.bvh --labels "walks,jumps,sits down"'),
    )(classify)


# --------------------------------------------------------------------------------------------------------------------
# Search


def search(
    target: Annotated[
        str,
        typer.Argument(
            metavar="GALLERY_OR_TAKE",
            help="What `index` wrote, a gallery on the Hub, `demo` (the packaged gallery), or one motion file.",
        ),
    ],
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="A description of the motion.")] = None,
    motion: Annotated[
        list[str] | None,
        typer.Option("--motion", metavar="FILE", help="Search by this motion file; for two persons, one file each."),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Number of hits.")] = 10,
    merge: Annotated[
        bool, typer.Option("--merge/--no-merge", help="Show one hit for overlapping windows and mirrored twins.")
    ] = True,
    window: Annotated[
        float | None,
        typer.Option("--window", metavar="SECONDS", help="Of a take: seconds a window.", show_default="4"),
    ] = None,
    stride: Annotated[
        float | None,
        typer.Option(
            "--stride", metavar="SECONDS", help="Of a take: seconds from window to window.", show_default="window / 8"
        ),
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="OUT", help="Write a page that plays the hits.")
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot", metavar="OUT", help="Write a .png: of a take the score over time, else poses of the hits."
        ),
    ] = None,
    motions: Annotated[
        str | None,
        typer.Option("--motions", metavar="DIR", help="Where the gallery's files are now, if they were moved."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Folder or Hub name of the model.", show_default="the gallery's; packaged"),
    ] = None,
    device: common.DeviceOption = "auto",
    fps: common.FpsOption = None,
    skeleton: common.SkeletonOption = None,
    up: common.UpOption = None,
    units: common.UnitsOption = None,
    as_json: common.JsonOption = False,
):
    """Find motions by a text or by a motion; in one long take, find the moments at which a text happens.

    Hits are windows with start and end in seconds; the score is a cosine similarity.
    """
    if (query is None) == (not motion):
        raise CommandError("Give either a QUERY text or --motion FILE" + (", not both." if query else "."))
    if query is not None and not query.strip():
        raise CommandError("QUERY is empty; describe the motion to find.")
    _check_suffix("--html", html, (".html", ".htm"))
    _check_suffix("--plot", plot, (".png",))
    common.package()
    from ..io import MOTION_SUFFIXES

    if query is not None and query.lower().endswith(MOTION_SUFFIXES):  # no description, but a file
        query, motion = None, [query]
    path = _find_target(target)
    settings = {"fps": fps, "skeleton": skeleton, "up": up, "units": units}
    with common.stdout_for_json(as_json):
        if path is not None and path.is_file():
            result, motion_source = _search_take(path, query, motion, top_k, window, stride, model, device, settings)
        else:
            for name, value in (("--window", window), ("--stride", stride)):
                if value is not None:
                    raise CommandError(f"{name} is for one take; a gallery has the windows it was indexed with.")
            place = target if path is None else path
            result, motion_source = _search_gallery(
                place, query, motion, top_k, merge, motions, model, device, settings
            )
        title = query if query is not None else ", ".join(map(str, motion))
        if html is not None or plot is not None:
            source = motion_source()
            if html is not None:
                result["html"] = _write_page(html, result["hits"], source, title)
            if plot is not None:
                result["plot"] = _write_plot(plot, result, source, title)
    if as_json:
        common.emit_json(result)
    else:
        common.emit(_table(result["hits"]))
        for kind in ("html", "plot"):
            if kind in result:
                common.emit(f"written: {result[kind]}")


def _find_target(target: str) -> Path | None:
    """Folder of a gallery or file of a take; `None` for a name on the Hub."""
    from ..pipeline_motionpatch import DEFAULT_GALLERY
    from ..retrieval.storage import MANIFEST

    path = Path(target).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise CommandError(
                f"{target!r} is a folder, but no gallery: there is no {MANIFEST} in it. Make one first: `motionpatch "
                f"index {target} --output GALLERY`."
            )
        return path
    if target == DEMO:
        if not DEFAULT_GALLERY.is_dir():
            raise CommandError("This installation has no packaged gallery; name a gallery or a motion file.")
        return DEFAULT_GALLERY
    if target.count("/") == 1 and not target.startswith((".", "~", "/")) and " " not in target:
        return None
    raise CommandError(f"{target!r}: there is no such gallery or motion file.")


def _search_gallery(place, query, motion, top_k, merge, motions, model, device, settings):
    from ..gallery import MotionGallery

    item = query if query is not None else common.read_query_motion(motion, **settings)
    loaded = (None, None) if model is None else common.load_model(model, device)
    try:
        with without_loading_bars():
            gallery = MotionGallery.load(place, *loaded)
            if model is None:
                common.place(gallery.encoder()[0], device)
            hits = gallery.search(item, k=top_k, merge=merge)
    except OSError as error:
        raise CommandError(f"The gallery {str(place)!r} cannot be opened: {common.one_line(error)}") from error
    result = {
        "gallery": str(place),
        "query": query,
        "motion": motion or None,
        "hits": [_hit_values(hit) for hit in hits],
    }

    def motion_source():
        from ..rendering_moments import MotionSource

        return MotionSource(motions_of_gallery(place, motions))

    return result, motion_source


def _search_take(path: Path, query, motion, top_k, window, stride, model, device, settings):
    from ..retrieval.localization import localize

    if motion:
        raise CommandError("One take is searched by text; to search it by motion, index it first.")
    take = common.read_motion(str(path), **settings, drop_t_pose=True)
    loaded, processor = common.load_model(model, device)
    found = localize(loaded, processor, take, query, top_k, window=window, stride=stride)
    hits = []
    for hit in found.moments:
        values = _hit_values(hit)
        hits.append({**values, "id": path.stem, "source": str(path)})
    result = {"take": str(path), "query": query, "hits": hits}
    result |= {
        "times": found.times.tolist(),
        "scores": found.scores.tolist(),
        "window": found.window,
        "duration": found.duration,
    }

    def motion_source():
        from ..rendering_moments import MotionSource

        return MotionSource([take], ids=[path.stem])

    return result, motion_source


def _hit_values(hit) -> dict:
    return {key: value for key, value in hit.to_dict().items() if key != "index"}


def _table(hits: list[dict]) -> str:
    """Hits as lines: rank, score, moment, id, caption."""
    if not hits:
        return "no hits"
    width = max(len(str(hit["id"])) for hit in hits)
    lines = []
    for rank, hit in enumerate(hits, 1):
        moment = "" if hit["start"] is None else f"{hit['start']:8.2f} - {hit['end']:7.2f} s  "
        caption = common.one_line(hit["caption"])[:CAPTION_WIDTH] if hit.get("caption") else ""
        lines.append(f"{rank:3d}  {hit['score']:7.4f}  {moment}{str(hit['id']):<{width}}  {caption}".rstrip())
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------------------------------
# Showing hits


def _write_page(path: str, hits: list[dict], source, title: str) -> str:
    from ..rendering_results import render_results

    return str(render_results(hits, _new_file(path), source, query=title))


def _write_plot(path: str, result: dict, source, title: str) -> str:
    from .plots import draw_curve, draw_strips

    target = _new_file(path)
    if "times" in result:
        draw_curve(target, result["times"], result["scores"], result["hits"], result["duration"], title)
        return str(target)
    strips = []
    for rank, hit in enumerate(result["hits"], 1):
        moment = source.moment(hit)
        name = f"{rank}. {hit['id']}  score {hit['score']:.3f}"
        if hit["start"] is not None:
            name += f"  {hit['start']:.2f} - {hit['end']:.2f} s"
        joints = moment.joints if moment.joints.ndim == 4 else moment.joints[:, None]
        strips += [(joints[:, person], moment.skeleton, moment.fps, name) for person in range(joints.shape[1])]
    draw_strips(target, strips)
    return str(target)


def _new_file(path: str) -> Path:
    target = Path(path).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _check_suffix(option: str, path: str | None, allowed: tuple[str, ...]) -> None:
    if path is not None and Path(path).suffix.lower() not in allowed:
        raise CommandError(f"{option} {path!r}: the file must end in {' or '.join(allowed)}.")


# --------------------------------------------------------------------------------------------------------------------
# Classification


def classify(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Motion files, or folders of them.")],
    labels: Annotated[
        str, typer.Option("--labels", metavar="A,B,C", help="The labels to choose from, separated by commas.")
    ],
    template: Annotated[
        str, typer.Option("--template", metavar="TEXT", help="The sentence of a label; {} stands for it.")
    ] = "A person {}.",
    top_k: Annotated[
        int | None, typer.Option("--top-k", "-k", min=1, help="Labels to print.", show_default="all")
    ] = None,
    persons: Annotated[int, typer.Option("--persons", min=1, help="Persons a motion: so many FILEs each.")] = 1,
    model: common.ModelOption = None,
    device: common.DeviceOption = "auto",
    fps: common.FpsOption = None,
    skeleton: common.SkeletonOption = None,
    up: common.UpOption = None,
    units: common.UnitsOption = None,
    as_json: common.JsonOption = False,
):
    """Choose the label that fits each motion best, without training: the nearest sentence wins.

    Files that cannot be read are reported, the others still classified; the exit code is then 2.
    """
    if "{}" not in template:
        raise CommandError(f"--template {template!r} must hold {{}}, where the label goes.")
    names = [label.strip() for label in labels.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise CommandError(
            f"--labels {labels!r}: different labels, separated by commas, are needed; none may be empty."
        )
    common.package()
    from ..pipeline_motionpatch import ZeroShotMotionClassificationPipeline

    paths = common.expand_files(files)
    if len(paths) % persons:
        raise CommandError(f"{len(paths)} files are no whole number of motions with {persons} persons each.")
    groups = [paths[first : first + persons] for first in range(0, len(paths), persons)]
    with common.stdout_for_json(as_json):
        loaded, processor = common.load_model(model, device)
        classifier = ZeroShotMotionClassificationPipeline(
            model=loaded, processor=processor, task="zero-shot-motion-classification", device=loaded.device
        )
        results, failed = [], 0
        for group in groups:
            name = " + ".join(group)
            try:
                motion = common.read_query_motion(group, fps, skeleton, up, units)
                found = classifier(motion, candidate_labels=names, hypothesis_template=template, top_k=top_k)
                results.append({"file": name, "labels": found})
            except (ValueError, OSError) as error:
                failed += 1
                results.append({"file": name, "error": common.one_line(error)})
    if as_json:
        common.emit_json(results)
    else:
        for result in results:
            if "error" in result:
                common.tell(f"left out: {result['error']}")
                continue
            scores = "  ".join(f"{item['label']} {item['score']:.3f}" for item in result["labels"])
            common.emit(f"{result['file']}: {scores}")
    return common.EXIT_USAGE if failed else None
