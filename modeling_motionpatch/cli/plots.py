"""Scores over time -> a curve; motions (T, J, 3) -> strips of poses below one another; both as PNG."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from .common import CommandError


CURVE_INCHES = (9.0, 3.0)
CURVE_DPI = 120
STRIP_HEIGHT = 180  # pixels
MOMENT_COLOR = "#2e86de"


def draw_curve(
    path: Path,
    times: Sequence[float],
    scores: Sequence[float],
    moments: Sequence[dict],
    duration: float,
    title: str,
) -> None:
    """The similarity of each window of a take to a text, over time [s], with the moments that were found shaded.

    Args:
        path (`Path`): A `.png` file to write.
        times (`Sequence[float]`): Middle of each window [s].
        scores (`Sequence[float]`): Cosine similarity of each.
        moments (`Sequence[dict]`): With `start` and `end` [s], best first.
        duration (`float`): Of the take [s].
        title (`str`): The text.

    Raises:
        CommandError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CommandError("--plot of a take needs matplotlib: pip install 'modeling-motionpatch[viz]'.") from error
    figure = Figure(figsize=CURVE_INCHES, dpi=CURVE_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(times, scores, color="#444444", marker="." if len(times) < 3 else None)
    for rank, moment in enumerate(moments, 1):
        axes.axvspan(
            moment["start"], moment["end"], color=MOMENT_COLOR, alpha=0.35 if rank == 1 else 0.15, linewidth=0
        )
        middle = (moment["start"] + moment["end"]) / 2
        axes.annotate(
            str(rank), (middle, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8
        )
    axes.set_xlabel("time [s]")
    axes.set_ylabel("cosine similarity")
    axes.set_title(title.replace("$", r"\$"), fontsize=10, pad=14)
    axes.set_xlim(0, duration)
    figure.savefig(path)


def draw_strips(path: Path, motions: Sequence[tuple]) -> None:
    """Poses of several motions, one strip below the other.

    Args:
        path (`Path`): A `.png` file to write.
        motions (`Sequence[tuple]`): `(joints (T, J, 3) [m], skeleton, fps, title)` of each.

    Raises:
        CommandError: There is no motion.
    """
    if not motions:
        raise CommandError("There is no hit to draw.")
    from ..rendering import render_strip

    with tempfile.TemporaryDirectory() as temporary:
        files = []
        for number, (joints, skeleton, fps, title) in enumerate(motions):
            file = Path(temporary) / f"{number}.png"
            files.append(render_strip(joints, skeleton, file, height=STRIP_HEIGHT, title=title, fps=fps))
        from PIL import Image

        strips = []
        for file in files:
            with Image.open(file) as strip:
                strips.append(strip.convert("RGB"))
    sheet = Image.new("RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    sheet.save(path)
