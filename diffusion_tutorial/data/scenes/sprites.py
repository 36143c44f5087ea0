"""Which emoji of OpenMoji each subject and thing is, where its parts are, and what colours it has: tables only.

Points are in the emoji's own units (72 x 72), sizes in units of the canvas (48 x 48). Colours are changed where two
subjects would look alike, and things come in four colours each. Used from "Type a sentence, get a picture" on.
"""

from typing import NamedTuple

VARIANTS = 4  # each thing comes in so many colours and poses


class Head(NamedTuple):
    """An emoji of a face: where its parts are and what body goes with it."""

    code: str
    scale: float  # units of the canvas per unit of the emoji
    x: float  # the middle of the face
    eyes: float  # height of the eyes
    gap: float  # between the eyes
    top: float  # where a hat sits
    mouth: float
    chin: float
    side: float  # from the middle to an ear that headphones cover
    fur: str
    belly: str
    recolour: str = ""  # "old new old new"


HEADS = {
    "cat": Head("1F431", 0.47, 36, 38, 18, 20, 52, 61, 23, "#f4aa41", "#fff"),
    "dog": Head("1F436", 0.43, 37, 29, 18, 13, 46, 57, 26, "#d69a55", "#f7e3c3", "#f4aa41 #d69a55"),
    "fox": Head("1F98A", 0.42, 36, 40, 21, 19, 60, 66, 24, "#e27022", "#fff"),
    "bear": Head("1F43B", 0.44, 36, 37, 15, 17, 53, 62, 25, "#6a462f", "#a57939"),
    "panda": Head("1F43C", 0.44, 36, 39, 16, 16, 52, 60, 24, "#3f3f3f", "#fff"),
    "rabbit": Head("1F430", 0.44, 36, 39, 18, 28, 56, 66, 17, "#f3ecf0", "#ffd3df", "#3f3f3f #f3ecf0"),
    "frog": Head("1F438", 0.46, 36, 24, 27, 17, 50, 61, 23, "#b1cc33", "#e4f09a"),
    "monkey": Head("1F435", 0.43, 36, 30, 16, 11, 53, 63, 25, "#3f3f3f", "#f4aa41"),
    "tiger": Head("1F42F", 0.46, 36, 36, 16, 17, 55, 63, 22, "#e27022", "#fff"),
    "lion": Head("1F981", 0.43, 36, 31, 15, 11, 50, 64, 25, "#f4aa41", "#ffe0a8"),
    "pig": Head("1F437", 0.44, 36, 36, 20, 22, 55, 63, 18, "#ffa7c0", "#ffd3df"),
    "mouse": Head("1F42D", 0.44, 37, 38, 20, 17, 55, 61, 22, "#d0cfce", "#ffd3df"),
    "cow": Head("1F42E", 0.43, 36, 29, 24, 9, 55, 65, 17, "#fff", "#ffd3df"),
    "wolf": Head("1F43A", 0.42, 35.5, 40, 18, 14, 62, 67, 25, "#6f8196", "#c9d3de", "#3f3f3f #6f8196 #9b9b9a #c9d3de"),
    "chick": Head("1F424", 0.53, 36, 32, 15, 16, 43, 57, 19, "#fcea2b", "#fff6a6"),
    "robot": Head("1F916", 0.47, 36, 29, 18, 16, 43, 57, 24, "#d0cfce", "#61b2e4"),
    "alien": Head("1F47D", 0.46, 36, 40, 19, 12, 54, 62, 22, "#7fdc9a", "#c8f5d2", "#d0cfce #7fdc9a #9b9b9a #46b36a"),
    "ghost": Head("1F47B", 0.68, 36, 23, 6.4, 12, 31, 38, 11, "#fff", "#fff"),
}

RED, BLUE, GREEN, PURPLE = (
    ("#ea5a47", "#d22f27"),
    ("#61b2e4", "#1e50a0"),
    ("#b1cc33", "#5c9e31"),
    ("#b399c8", "#8967aa"),
)
YELLOW, PINK = ("#fcea2b", "#f1b31c"), ("#ffa7c0", "#e67a94")
FRAMES = tuple((colour, "#eaf6ff") for colour in ("#d22f27", "#1e50a0", "#d22f27", "#5c9e31"))
ICES = tuple((colour, "") for colour in ("#ffa7c0", "#ffffff", "#ffa7c0", "#9ce0b8"))
COVERS = tuple((colour, colour) for colour in ("#d22f27", "#1e50a0", "#5c9e31", "#8967aa"))
DOTS = "cat dog fox bear rabbit monkey lion tiger pig mouse cow wolf".split()  # whose eyes are drawn larger


class Prop(NamedTuple):
    """An emoji of a thing: which of its points lies on which point of the subject."""

    code: str
    scale: float
    x: float
    y: float
    at: str  # "eyes", "top", "neck", "mouth", "belly", "hand" or "foot"
    dx: float = 0
    dy: float = 0
    turn: float = 0  # degrees, clockwise
    hands: tuple[tuple[float, float], ...] = ((-7.5, 41), (7.5, 41))  # from the middle of the body
    paint: tuple[str, str] = ("", "")  # the two colours that vary
    colours: tuple[tuple[str, str], ...] = ()
    stroke: float = 2  # width of its lines; more where it is drawn small
    flat: float = 1  # its height, so many times what it was


RAISED = ((-7.5, 41), (10, 36.5))
PROPS = {
    "sunglasses": Prop("1F576", 0.3, 36, 32, "eyes"),
    "guitar": Prop("1F3B8", 0.52, 22, 47, "belly", -5, 1, 17, ((-3, 40), (10, 35)), RED, (RED, RED, BLUE, GREEN), 2.4),
    "top hat": Prop("1F3A9", 0.31, 36, 53, "top", colours=(RED, PURPLE, BLUE, YELLOW), paint=YELLOW),
    "crown": Prop("1F451", 0.29, 36, 57, "top"),
    "glasses": Prop("1F453", 0.3, 36, 32, "eyes", paint=("#9b9b9a", "#d0cfce"), colours=FRAMES),
    "scarf": Prop("1F9E3", 0.44, 36, 24, "neck", paint=RED, colours=(RED, BLUE, GREEN, PURPLE)),
    "bow tie": Prop("1F380", 0.27, 36, 32, "neck", 0, 1.5, paint=RED, colours=(RED, RED, BLUE, PINK), stroke=2.6),
    "headphones": Prop("", 1, 0, 0, "eyes", paint=RED, colours=(RED, BLUE, GREEN, PURPLE)),
    "drum": Prop(
        "1F941", 0.39, 36, 60, "belly", 0, 8, 0, ((-7.5, 31.5), (7.5, 31.5)), RED, (RED, RED, BLUE, PURPLE), 2.6
    ),
    "trumpet": Prop("1F3BA", 0.45, 62, 28, "mouth", 2, 0, -16, ((-6, 38), (0, 37)), stroke=2.4),
    "piano": Prop("1F3B9", 0.52, 36, 36, "belly", 0, 3.2, 0, ((-5, 36), (5, 36)), stroke=1.8, flat=0.5),
    "football": Prop("26BD", 0.25, 36, 36, "foot", stroke=2.4),
    "balloon": Prop(
        "1F388", 0.34, 20, 62, "hand", hands=RAISED, paint=RED, colours=(RED, BLUE, GREEN, YELLOW), stroke=2.4
    ),
    "umbrella": Prop("2602", 0.44, 34, 62, "hand", 0, 0, 18, RAISED, PURPLE, (PURPLE, RED, BLUE, GREEN)),
    "ice cream": Prop("1F366", 0.38, 38, 55, "hand", hands=RAISED, paint=("#ffffff", ""), colours=ICES, stroke=1.5),
    "flower": Prop("1F33B", 0.46, 29, 58, "hand", hands=RAISED, paint=YELLOW, colours=(YELLOW, YELLOW, PINK, RED)),
    "book": Prop("1F4D6", 0.38, 36, 36, "belly", 0, 0.5, 0, ((-11, 40), (11, 40)), ("#9b9b9a", "#d0cfce"), COVERS, 2),
    "present": Prop(
        "1F381", 0.31, 36, 40, "belly", 0, 1, 0, ((-8, 40), (8, 40)), YELLOW, (YELLOW, BLUE, GREEN, PINK), 2.6
    ),
}

# what is added to an emoji, in its own units: light on dark lenses, eyes behind clear ones, a case around the keys
EXTRAS = {
    "sunglasses": '<path d="M11 34L18 26M47 34L54 26" stroke="#fff" stroke-width="3.4" stroke-linecap="round"/>',
    "glasses": '<circle cx="19" cy="33" r="4"/><circle cx="55" cy="33" r="4"/>',
    "piano": '<path d="M8 2H64V12H8ZM8 12V62M64 12V62" fill="#a5462a" stroke="#a5462a" stroke-width="5"/>',
}
