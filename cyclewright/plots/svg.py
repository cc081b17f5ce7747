"""A scene as SVG text: for a file of its own, or inline in a page whose style sheet sets the colours."""

from __future__ import annotations

from html import escape

from cyclewright.plots.palette import LIGHT
from cyclewright.plots.scene import Circle, Path, Rect, Scene, Shape, Text

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


def to_svg(scene: Scene, *, inline: bool = False) -> str:
    """The scene as SVG.

    Args:
        scene: the figure.
        inline: for embedding in HTML: colours are ``var(--role)`` of the page (so that they follow its light or dark theme), no
            namespace, no background. Otherwise a stand-alone file with light colours.
    """
    width, height = _num(scene.width), _num(scene.height)
    label = f'role="img" aria-label="{_attribute(scene.description)}"'
    if inline:
        head = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" {label}>'
        body = ""
    else:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="{_attribute(FONT)}" {label}>\n<title>{_text(scene.description)}</title>'
        )
        body = f'\n<rect width="{width}" height="{height}" fill="{LIGHT["paper"]}"/>'
    lines = [_shape(shape, inline) for shape in scene.shapes]
    return head + body + "\n" + "\n".join(lines) + "\n</svg>\n"


def _shape(shape: Shape, inline: bool) -> str:
    if isinstance(shape, Rect):
        text = _rect(shape, inline)
    elif isinstance(shape, Path):
        text = _path(shape, inline)
    elif isinstance(shape, Circle):
        text = _circle(shape, inline)
    else:
        return _label(shape, inline)
    return text


def _rect(shape: Rect, inline: bool) -> str:
    place = f'x="{_num(shape.x)}" y="{_num(shape.y)}" width="{_num(shape.width)}" height="{_num(shape.height)}"'
    stroke = f' stroke="{_colour(shape.stroke, inline)}"' if shape.stroke else ""
    return _close("rect", f'{place} fill="{_colour(shape.fill, inline)}"{stroke}{_opacity(shape.opacity)}', shape.title)


def _path(shape: Path, inline: bool) -> str:
    points = "M" + "L".join(f"{_num(x)} {_num(y)}" for x, y in shape.points) + ("Z" if shape.fill else "")
    fill = _colour(shape.fill, inline) if shape.fill else "none"
    stroke = f' stroke="{_colour(shape.stroke, inline)}" stroke-width="{_num(shape.width)}"' if shape.stroke else ""
    dash = f' stroke-dasharray="{" ".join(_num(d) for d in shape.dash)}"' if shape.dash else ""
    return _close("path", f'd="{points}" fill="{fill}"{stroke}{dash}{_opacity(shape.opacity)}', shape.title)


def _circle(shape: Circle, inline: bool) -> str:
    stroke = f' stroke="{_colour(shape.stroke, inline)}"' if shape.stroke else ""
    place = f'cx="{_num(shape.x)}" cy="{_num(shape.y)}" r="{_num(shape.radius)}"'
    text = _close("circle", f'{place} fill="{_colour(shape.fill, inline)}"{stroke}{_opacity(shape.opacity)}', shape.title)
    # Hundreds of dots would be as many stops for the tab key; the table below is the keyboard's way to each operator.
    return f'<a href="#{_attribute(shape.link)}" tabindex="-1">{text}</a>' if inline and shape.link else text


def _label(shape: Text, inline: bool) -> str:
    parts = [f'x="{_num(shape.x)}" y="{_num(shape.y)}" font-size="{_num(shape.size)}" fill="{_colour(shape.fill, inline)}"']
    if shape.anchor != "start":
        parts.append(f'text-anchor="{shape.anchor}"')
    if shape.bold:
        parts.append('font-weight="600"')
    if shape.rotate:
        parts.append(f'transform="rotate({_num(shape.rotate)} {_num(shape.x)} {_num(shape.y)})"')
    if shape.halo:
        parts.append(f'stroke="{_colour("paper", inline)}" stroke-width="3" stroke-linejoin="round" paint-order="stroke"')
    title = f"<title>{_text(shape.title)}</title>" if shape.title else ""
    return f"<text {' '.join(parts)}>{title}{_text(shape.text)}</text>"


def _close(tag: str, attributes: str, title: str) -> str:
    return f"<{tag} {attributes}><title>{_text(title)}</title></{tag}>" if title else f"<{tag} {attributes}/>"


def _colour(role: str, inline: bool) -> str:
    return f"var(--{role})" if inline else LIGHT[role]


def _opacity(opacity: float) -> str:
    return "" if opacity == 1.0 else f' opacity="{_num(opacity)}"'


def _num(value: float) -> str:
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _clean(text: str) -> str:
    # XML 1.0 has no way to write most control characters, not even escaped.
    return "".join(char if char >= " " else " " for char in text)


def _text(text: str) -> str:
    return escape(_clean(text), quote=False)


def _attribute(text: str) -> str:
    return escape(_clean(text), quote=True)
