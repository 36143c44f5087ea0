"""What the places are made of, each a piece of SVG: skies, hills, stars, trees. The shapes are our own.

`r` is the `random.Random` that varies them. The canvas reaches from -2 to 50 on both sides.
Used from "Type a sentence, get a picture" on.
"""

from math import cos, pi, sin
from random import Random


def hsl(r: Random, hue: float, saturation: float, light: float, spread: float = 6) -> str:
    """A colour near this hue (degrees), saturation and light (per cent), so far from it at most."""
    h, s, v = (x + r.uniform(-spread, spread) * f for x, f in ((hue, 1), (saturation, 0.5), (light, 0.5)))
    return f"hsl({h % 360:.0f},{min(max(s, 0), 100):.0f}%,{min(max(v, 0), 100):.0f}%)"


def sky(top: str, bottom: str) -> str:
    """The whole canvas, from one colour down to another."""
    stops = f'<stop offset="0" stop-color="{top}"/><stop offset="1" stop-color="{bottom}"/>'
    return (
        f'<defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient></defs>'
        '<rect x="-2" y="-2" width="52" height="52" fill="url(#sky)"/>'
    )


def circle(x: float, y: float, r: float, fill: str, opacity: float = 1) -> str:
    """A disc."""
    return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" fill="{fill}" opacity="{opacity:.2f}"/>'


def ellipse(x: float, y: float, rx: float, ry: float, fill: str) -> str:
    """A flat disc."""
    return f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{rx:.2f}" ry="{ry:.2f}" fill="{fill}"/>'


def path(d: str, fill: str = "none", stroke: str = "none", width: float = 1, opacity: float = 1) -> str:
    """A filled shape, or a line where only `stroke` is given."""
    line = f'stroke="{stroke}" stroke-width="{width}" stroke-linecap="round" stroke-linejoin="round"'
    return f'<path d="{d}" fill="{fill}" opacity="{opacity}" {line}/>'


def polygon(fill: str, *points: tuple[float, float]) -> str:
    """The area between points."""
    return path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z", fill)


def rectangle(x: float, y: float, width: float, height: float, fill: str) -> str:
    """The upper left corner, the size and the colour of a rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


def hill(r: Random, y: float, fill: str, bend: float = 4) -> str:
    """Ground up to a bent horizon near height y."""
    a, b, c = (y + r.uniform(-bend, bend) / 2 for _ in range(3))
    return path(f"M-2 {a:.1f}Q{r.uniform(8, 40):.1f} {b - bend:.1f} 50 {c:.1f}V50H-2Z", fill)


def stars(r: Random, n: int, bottom: float) -> str:
    """White dots down to a height."""
    return "".join(
        circle(r.uniform(-2, 50), r.uniform(-2, bottom), r.choice((0.35, 0.45, 0.6)), "#fff", r.uniform(0.6, 1))
        for _ in range(n)
    )


def craters(r: Random, n: int, top: float, dark: str, light: str) -> str:
    """Flat bowls with a light rim, side by side."""
    parts = []
    for i in range(n):
        x, y, a = (i + r.random()) * 52 / n - 2, r.uniform(top + 4, 47), r.uniform(2.4, 4.8)
        parts += [ellipse(x, y + 0.5, a, a * 0.42, light), ellipse(x, y, a * 0.94, a * 0.36, dark)]
    return "".join(parts)


def corner(r: Random) -> float:
    """A place for something at one side of the sky, beside the head."""
    return r.choice((r.uniform(3, 9), r.uniform(39, 45)))


def cloud(r: Random, fill: str = "#fff") -> str:
    """Three lumps, high up."""
    x, y, s = r.uniform(0, 48), r.uniform(2, 14), r.uniform(0.7, 1.2)
    lumps = ((-3, 0.6, 2.2), (0, -0.6, 3), (3.2, 0.6, 2.3))
    return "".join(circle(x + s * dx, y + s * dy, s * a, fill, 0.95) for dx, dy, a in lumps)


def palm(x: float, y: float, lean: float, leaf: str) -> str:
    """A palm tree with its foot at (x, y)."""
    top, h = x + lean, y - 19
    parts = [path(f"M{x:.1f} {y:.1f}Q{x:.1f} {y - 10:.1f} {top:.1f} {h:.1f}", stroke="#8a5a2b", width=2)]
    for angle in (-170, -130, -50, -10, -90):
        dx, dy = 8 * cos(angle * pi / 180), 5.5 * sin(angle * pi / 180)
        parts.append(
            path(f"M{top:.1f} {h:.1f}q{dx * 0.6:.1f} {dy - 2:.1f} {dx:.1f} {dy + 3.5:.1f}", stroke=leaf, width=2.2)
        )
    return "".join(parts)


def cactus(r: Random, x: float, y: float, s: float) -> str:
    """A cactus with two arms and its foot at (x, y)."""
    stem = f"M{x:.1f} {y:.1f}v{-15 * s:.1f}"
    arms = "".join(f"M{x:.1f} {y - dy * s:.1f}h{dx * s:.1f}v{-4.2 * s:.1f}" for dx, dy in ((-4, 5), (4, 7)))
    colours = ("#12401f", 3.6), (hsl(r, 135, 55, 34), 2.6)
    return "".join(path(stem + arms, stroke=colour, width=width * s) for colour, width in colours)


def pine(x: float, y: float, s: float, fill: str, snow: bool = False) -> str:
    """A pine with its foot at (x, y), perhaps with snow on it."""
    parts = [path(f"M{x:.1f} {y:.1f}v{-3 * s:.1f}", stroke="#5b3a1e", width=1.8 * s)]
    for up, half in ((2, 5.5 * s), (6, 4.5 * s), (10, 3.3 * s)):
        foot, h = y - up * s, 7 * s
        parts.append(polygon(fill, (x - half, foot), (x, foot - h), (x + half, foot)))
        if snow:
            parts.append(polygon("#fff", (x - half / 2, foot - h / 2), (x, foot - h), (x + half / 2, foot - h / 2)))
    return "".join(parts)


def mountain(x: float, y: float, half: float, h: float, fill: str, flat: float = 0) -> str:
    """A mountain with its foot at height y and its top, flat or not, h above."""
    return polygon(fill, (x - half, y), (x - flat, y - h), (x + flat, y - h), (x + half, y))


def building(r: Random, x: float, y: float, width: float, h: float) -> str:
    """A house with lit windows, its foot at height y."""
    parts = [rectangle(x, y - h, width, h, hsl(r, 225, 25, r.choice((26, 33, 40)), 8))]
    for i in range(int(width // 2.7)):
        for j in range(int((h - 2) // 3.4)):
            if r.random() < 0.7:
                fill = r.choice(("#ffe66b", "#ffe66b", "#fff2b0"))
                parts.append(rectangle(x + 1 + i * 2.7, y + 1.3 - h + j * 3.4, 1.5, 1.9, fill))
    return "".join(parts)


def fish(r: Random, x: float, y: float) -> str:
    """A fish that looks left or right."""
    s, way, fill = r.uniform(0.8, 1.2), r.choice((-1, 1)), r.choice(("#ff8a2b", "#ffd93b", "#ff5f7a", "#c77bff"))
    end = x - way * 5.2 * s
    tail = polygon(fill, (x - way * 2.2 * s, y), (end, y - 2 * s), (end, y + 2 * s))
    return tail + ellipse(x, y, 3.2 * s, 2 * s, fill) + circle(x + way * 1.6 * s, y - 0.5 * s, 0.55 * s, "#111")
