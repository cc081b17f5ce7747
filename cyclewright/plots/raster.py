"""A scene as PNG, by matplotlib's Agg renderer (imported only here, and only when a PNG is asked for)."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from cyclewright.plots.palette import LIGHT
from cyclewright.plots.scene import Circle, Path, Rect, Scene, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PIXELS_PER_INCH = 96
_POINTS_PER_PIXEL = 72 / _PIXELS_PER_INCH


def to_png(scene: Scene, *, scale: float = 2.0) -> bytes:
    """The scene as PNG with ``scale`` image pixels per scene pixel (2: sharp on dense screens and in papers)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(scene.width / _PIXELS_PER_INCH, scene.height / _PIXELS_PER_INCH), facecolor=LIGHT["paper"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    axes.set_axis_off()
    for order, shape in enumerate(scene.shapes):
        if isinstance(shape, Text):
            _text(axes, shape, order)
        else:
            _area(axes, shape, order)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_PIXELS_PER_INCH * scale, metadata={"Software": None})
    return buffer.getvalue()


def _area(axes: Axes, shape: Rect | Path | Circle, order: int) -> None:
    from matplotlib import patches
    from matplotlib.lines import Line2D

    if isinstance(shape, Path) and not shape.fill:
        xs, ys = zip(*shape.points, strict=True)
        line = Line2D(xs, ys, color=LIGHT[shape.stroke], linewidth=shape.width * _POINTS_PER_PIXEL, alpha=shape.opacity, zorder=order)
        if shape.dash:
            line.set_dashes([length / shape.width for length in shape.dash])
        axes.add_line(line)
        return
    edge = LIGHT[shape.stroke] if shape.stroke else "none"
    style: dict[str, Any] = {
        "facecolor": LIGHT[shape.fill],
        "edgecolor": edge,
        "linewidth": _POINTS_PER_PIXEL,
        "alpha": shape.opacity,
        "zorder": order,
    }
    patch: patches.Patch
    if isinstance(shape, Rect):
        patch = patches.Rectangle((shape.x, shape.y), shape.width, shape.height, **style)
    elif isinstance(shape, Circle):
        patch = patches.Circle((shape.x, shape.y), shape.radius, **style)
    else:
        patch = patches.Polygon(shape.points, closed=True, **style)
    axes.add_patch(patch)


def _text(axes: Axes, shape: Text, order: int) -> None:
    from matplotlib.patheffects import withStroke

    text = axes.text(
        shape.x, shape.y, shape.text.replace("$", r"\$"), fontsize=shape.size * _POINTS_PER_PIXEL, color=LIGHT[shape.fill],
        ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor], va="baseline", rotation=-shape.rotate,
        rotation_mode="anchor", fontweight="bold" if shape.bold else "normal", zorder=order, family="DejaVu Sans",
    )  # fmt: skip
    if shape.halo:
        text.set_path_effects([withStroke(linewidth=3 * _POINTS_PER_PIXEL, foreground=LIGHT["paper"])])
