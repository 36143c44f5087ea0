"""The places, as SVG on 52 x 52 units: two more on each side than a scene of 48 x 48, so that they can be shifted.

Every place is a function of a `random.Random`, which varies its colours, its horizon and all that stands about.
Each keeps what makes it known: the moon its black sky and the Earth, Mars its red, the beach its sea and its palm.
Used from "Type a sentence, get a picture" on.
"""

from random import Random

from diffusion_tutorial.data.scenes.shapes import (
    building,
    cactus,
    circle,
    cloud,
    corner,
    craters,
    ellipse,
    fish,
    hill,
    hsl,
    mountain,
    palm,
    path,
    pine,
    polygon,
    rectangle,
    sky,
    stars,
)


def background(name: str, variant: int) -> str:
    """One view of a place, as a whole SVG; the same variant is the same view, on every machine."""
    random = Random(f"{name} {variant}")
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 52 52">{VIEWS[name](random)}</svg>'


def _moon(r: Random) -> str:
    y, x, s = r.uniform(30, 35), corner(r), r.uniform(4.5, 6.5)
    parts = [sky(hsl(r, 230, 45, 5, 3), hsl(r, 235, 40, 14, 4)), stars(r, 24, y)]
    parts.append(circle(x, 8, s, "#3a86e0"))  # the Earth, with two continents and ice
    parts.append(ellipse(x - s * 0.3, 6.6, s * 0.42, s * 0.34, "#5cbf4a"))
    parts.append(ellipse(x + s * 0.3, 9.6, s * 0.36, s * 0.42, "#5cbf4a"))
    parts.append(ellipse(x, 8 - s * 0.86, s * 0.4, 0.6, "#fff"))
    parts += [hill(r, y, hsl(r, 220, 4, 72, 5)), craters(r, 5, y, "#8d8d97", "#e4e4ea")]
    return "".join(parts)


def _mars(r: Random) -> str:
    y = r.uniform(30, 35)
    parts = [sky(hsl(r, 14, 60, 46), hsl(r, 26, 80, 72))]
    parts.append(circle(corner(r), r.uniform(3, 9), r.uniform(1.2, 2), "#f3ddc8"))  # one of its small moons
    for _ in range(r.choice((2, 3))):
        x, half, h = r.uniform(-2, 50), r.uniform(8, 13), r.uniform(11, 18)
        parts.append(mountain(x, y + 3, half, h, hsl(r, 10, 60, 36, 5), flat=r.choice((1, 3, 4))))
    parts += [hill(r, y, hsl(r, 12, 72, 46, 5), 2), craters(r, 4, y, "#8a3018", "#dd7a4c")]
    parts += [ellipse(r.uniform(-2, 50), r.uniform(y + 3, 48), r.uniform(0.8, 1.6), 0.9, "#6e2513") for _ in range(6)]
    return "".join(parts)


def _beach(r: Random) -> str:
    y, side = r.uniform(32, 36), r.choice((-1, 1))
    parts = [sky(hsl(r, 203, 90, 66), hsl(r, 195, 90, 86))]
    parts.append(circle(24 - side * 20, r.uniform(3, 7), r.uniform(3, 4.5), "#ffe14a"))
    parts.append(rectangle(-2, y - 11, 52, 14, hsl(r, 197, 85, 45)))
    parts += [path(f"M{r.uniform(-2, 44):.1f} {y - up:.1f}h6", stroke="#fff", width=0.7) for up in (8, 6, 6, 4)]
    boat = 24 - side * r.uniform(2, 16)
    parts.append(polygon("#fff", (boat, y - 17), (boat + 4, y - 11), (boat, y - 11)))
    parts.append(path(f"M{boat - 3:.1f} {y - 10.5:.1f}h8l-2 2h-4Z", "#d22f27"))
    parts.append(path(f"M-2 {y - 0.8:.1f}Q24 {y - 2.4:.1f} 50 {y - 0.8:.1f}", stroke="#fff", width=1.4))
    parts.append(hill(r, y, hsl(r, 46, 85, 74), 1.5))
    for colour in ("#f58ea8", "#fff", "#e8873a", "#fff"):  # shells
        parts.append(circle(r.uniform(0, 48), r.uniform(y + 4, 48), 0.8, colour))
    parts.append(palm(24 + side * 20, y + r.uniform(3, 7), -side * r.uniform(1, 4), hsl(r, 125, 60, 36)))
    return "".join(parts)


def _desert(r: Random) -> str:
    y, side = r.uniform(29, 33), r.choice((-1, 1))
    parts = [sky(hsl(r, 200, 75, 70), hsl(r, 42, 90, 88))]
    parts.append(circle(24 - side * r.uniform(15, 21), r.uniform(4, 9), 4.5, "#fff3a0"))
    if r.random() < 0.4:  # a pyramid
        half = r.uniform(8, 12)
        parts.append(mountain(r.uniform(6, 42), y, half, half, hsl(r, 38, 65, 60)))
    parts += [hill(r, y + down, hsl(r, 33, 85, light, 4), 5) for down, light in ((0, 62), (5, 56), (11, 60))]
    parts.append(cactus(r, 24 + side * r.uniform(17, 20), y + r.uniform(6, 12), r.uniform(0.9, 1.3)))
    parts.append(cactus(r, 24 - side * r.uniform(15, 21), y + r.uniform(2, 6), r.uniform(0.5, 0.8)))
    return "".join(parts)


def _forest(r: Random) -> str:
    y = r.uniform(32, 36)
    parts = [sky(hsl(r, 165, 35, 60), hsl(r, 110, 40, 74)), rectangle(-2, y - 9, 52, 14, "#16351f")]
    for row, light, size in ((-2, 30, 1.5), (1, 24, 1.9)):
        start, step = r.uniform(-6, 0), r.uniform(8, 10)
        for i in range(7):
            x, s = start + i * step + r.uniform(-1, 1), size * r.uniform(0.85, 1.2)
            parts.append(pine(x, y + row, s, hsl(r, 140, 45, light)))
    parts.append(hill(r, y, hsl(r, 95, 42, 34), 2))
    for _ in range(3):  # toadstools
        x, foot = 24 + r.choice((-1, 1)) * r.uniform(13, 24), r.uniform(y + 5, 48)
        parts.append(path(f"M{x:.1f} {foot:.1f}v-2", stroke="#fff3dd", width=1.3))
        parts.append(path(f"M{x - 2:.1f} {foot - 1.8:.1f}q2 -3.4 4 0Z", "#d22f27"))
    return "".join(parts)


def _snow(r: Random) -> str:
    y = r.uniform(31, 35)
    parts = [sky(hsl(r, 212, 50, 68), hsl(r, 205, 55, 88))]
    for x in (r.uniform(-2, 16), r.uniform(32, 50)):
        half, h = r.uniform(13, 18), r.uniform(19, 26)
        parts.append(mountain(x, y + 2, half, h, hsl(r, 218, 28, 56)))
        edge, low, high = 0.42 * half, y + 2 - 0.58 * h, y + 0.6 - 0.58 * h
        zigzag = (x + edge, low), (x + 3, high), (x, low + 0.8), (x - 3, high), (x - edge, low)
        parts.append(polygon("#fff", (x, y + 2 - h), *zigzag))
    parts.append(hill(r, y, "#f4f9ff", 3))
    for x in (r.uniform(0, 8), r.uniform(40, 48)):
        parts.append(pine(x, y + r.uniform(1, 7), r.uniform(0.8, 1.2), hsl(r, 160, 40, 32), snow=True))
    parts += [circle(r.uniform(-2, 50), r.uniform(-2, 50), r.choice((0.5, 0.7, 0.9)), "#fff") for _ in range(34)]
    return "".join(parts)


def _city(r: Random) -> str:
    parts = [sky(hsl(r, r.choice((265, 250, 285)), 45, 46), hsl(r, 22, 85, 74))]
    x = r.uniform(-8, -2)
    while x < 50:
        width = r.uniform(7, 10.5)
        parts.append(building(r, x, 40, width, r.uniform(14, 34)))
        x += width + r.choice((0, 0, 0.6))
    parts += [rectangle(-2, 37, 52, 4, hsl(r, 40, 6, 68)), rectangle(-2, 40, 52, 10, "#4a4a52")]
    start = r.uniform(-6, 0)
    parts += [path(f"M{start + i * 9:.1f} 46h4.5", stroke="#fff", width=1.1) for i in range(7)]
    return "".join(parts)


def _sea(r: Random) -> str:
    parts = [sky(hsl(r, 186, 85, 58), hsl(r, 215, 85, 34))]
    parts += [path(f"M{r.uniform(0, 44):.1f} -2h5l-8 34h-7Z", "#fff", opacity=0.12) for _ in range(3)]  # light
    parts.append(hill(r, r.uniform(42, 45), hsl(r, 44, 60, 66), 2))
    for x in (r.uniform(-1, 6), r.uniform(42, 49), r.choice((9, 39))):  # seaweed
        d = f"M{x:.1f} 48q-3 -4 0 -8t0 -8t0 {-r.uniform(2, 7):.1f}"
        parts.append(path(d, stroke=hsl(r, 130, 60, 38, 12), width=2))
    x = r.choice((4, 44))
    parts.append(path(f"M{x} 48v-7M{x} 45l-3 -4M{x} 44l3 -4", stroke="#ff6f91", width=1.9))  # a coral
    parts += [fish(r, r.uniform(3, 45), y) for y in r.sample((3, 8, 14, 20, 27), 3)]
    for _ in range(10):  # bubbles
        x, y, radius = r.uniform(-2, 50), r.uniform(-2, 38), r.uniform(0.9, 1.8)
        parts += [circle(x, y, radius, "#fff", 0.85), circle(x, y, radius - 0.5, "#4fb4e8")]
    return "".join(parts)


def _meadow(r: Random) -> str:
    y = r.uniform(27, 32)
    parts = [sky(hsl(r, 208, 90, 68), hsl(r, 200, 90, 88))]
    parts.append(circle(corner(r), r.uniform(3, 8), r.uniform(3, 4.5), "#ffe14a"))
    parts += [cloud(r) for _ in range(r.choice((1, 2, 3)))]
    parts += [hill(r, y, hsl(r, 100, 55, 58), 6), hill(r, y + 5, hsl(r, 105, 60, 48), 3)]
    for _ in range(16):  # flowers
        x, foot = r.uniform(-2, 50), r.uniform(y + 7, 49)
        parts.append(path(f"M{x:.1f} {foot:.1f}v1.8", stroke="#2f7a2a", width=0.7))
        parts.append(circle(x, foot, 1, r.choice(("#fff", "#ff7aa8", "#ffe14a", "#c77bff"))))
        parts.append(circle(x, foot, 0.4, "#f1a01c"))
    return "".join(parts)


def _space(r: Random) -> str:
    x, y, s = corner(r), r.uniform(7, 13), r.uniform(3.8, 5)
    parts = [sky(hsl(r, 262, 60, 22), hsl(r, 292, 55, 36))]
    for hue in (320, 200) * 4:  # clouds of gas
        parts.append(circle(r.uniform(0, 48), r.uniform(0, 48), r.uniform(6, 12), hsl(r, hue, 70, 50), 0.16))
    parts += [stars(r, 46, 50), circle(x, y, s, hsl(r, 36, 85, 62))]
    parts.append(path(f"M{x - s:.1f} {y + 0.4:.1f}h{2 * s:.1f}", stroke="#c97a2b", width=1.2))
    turn, wide, flat = r.uniform(-25, 25), 1.75 * s, 0.5 * s
    half = f"a{wide:.1f} {flat:.1f} 0 1 0"
    ring = f"M{x - wide:.1f} {y:.1f}{half} {2 * wide:.1f} 0{half} {-2 * wide:.1f} 0"
    parts.append(f'<g transform="rotate({turn:.0f} {x:.1f} {y:.1f})">{path(ring, stroke="#ffe6b0", width=1.2)}</g>')
    hue = r.choice((170, 350))
    parts.append(circle(48 - x + r.uniform(-3, 3), r.uniform(34, 44), r.uniform(1.8, 3), hsl(r, hue, 65, 62)))
    return "".join(parts)


VIEWS = {
    "moon": _moon,
    "Mars": _mars,
    "beach": _beach,
    "desert": _desert,
    "forest": _forest,
    "snow": _snow,
    "city": _city,
    "sea": _sea,
    "meadow": _meadow,
    "space": _space,
}
