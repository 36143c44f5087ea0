import base64
import io
import json
import re

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from test_plotting import Page

from diffusion_tutorial import plotting, widgets
from diffusion_tutorial.data import digits
from diffusion_tutorial.models.text import Tokenizer


def figures(n: int, width: float = 1.2) -> list:
    """n figures, each with a line at another height."""
    made = []
    for i in range(n):
        figure, (ax,) = plotting.panels(width=width, height=1.0)
        ax.axhspan(i, i + 1, color=plotting.COLOURS[i % 7])
        ax.set_ylim(0, n)
        made.append(figure)
    return made


class Film:
    """What a scrubber's HTML holds, and what its few lines of JavaScript do with it, done in Python."""

    def __init__(self, html: str):
        self.html = html
        self.page = Page(html)
        tags = {}
        for tag, attrs in self.page.found:
            tags.setdefault(tag, []).append(attrs)
        (self.figure,), (self.image,), (self.slider,) = tags["figure"], tags["img"], tags["input"]
        self.stage = next(attrs for attrs in tags["div"] if attrs.get("role") == "img")
        self.sheet = Image.open(io.BytesIO(base64.b64decode(self.image["src"].split(",", 1)[1]))).convert("RGB")
        self.labels = json.loads(re.search(r"labels = (\[.*?\]);", html)[1])
        self.w, self.h = (
            int(re.search(rf"(?<!-){side}:(\d+)px", self.stage["style"])[1]) for side in ("width", "height")
        )
        self.columns, x, y = re.search(r"x = \(i % (\d+)\) \* (\d+), y = Math.floor\(i / \d+\) \* (\d+)", html).groups()
        assert (int(x), int(y)) == (self.w, self.h)
        size = re.search(r"background-size:(\d+)px (\d+)px", self.stage["style"])
        self.zoom = int(size[1]) // self.sheet.width
        assert self.zoom * self.sheet.width == int(size[1]) and self.zoom * self.sheet.height == int(size[2])

    def frame(self, i: int) -> np.ndarray:
        """What is on the stage when the slider stands at i."""
        w, h, columns = self.w // self.zoom, self.h // self.zoom, int(self.columns)
        x, y = (i % columns) * w, i // columns * h
        assert x + w <= self.sheet.width and y + h <= self.sheet.height
        return np.asarray(self.sheet.crop((x, y, x + w, y + h)))


@pytest.mark.parametrize("n, columns", [(1, None), (7, 3), (23, None)])
def test_a_film_of_pictures_has_every_frame(n, columns):
    images = digits.load()[0][::200][:n]
    labels = [f"t = {50 * i}" for i in range(n)]
    film = Film(widgets.scrubber(images, labels, "Figure 1.", "A digit.", start=n - 1, scale=4, columns=columns).data)
    pixels = digits.to_pixels(images).numpy()
    for i in range(n):
        np.testing.assert_array_equal(film.frame(i)[..., 0], pixels[i])
    assert film.labels == labels and film.zoom == 4 and (film.w, film.h) == (112, 112)
    assert (film.slider["min"], film.slider["max"], film.slider["value"]) == ("0", str(n - 1), str(n - 1))
    assert "image-rendering:pixelated" in film.stage["style"]


def test_a_film_in_colour_keeps_its_colours():
    images = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [0, 0, 1]])[:, :, None, None].expand(3, 3, 5, 5)
    film = Film(widgets.scrubber(images, "abc", "Figure 1.", "Colours.").data)
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0), (128, 128, 255)]):
        assert np.abs(film.frame(i).astype(int) - colour).max() <= 4


def test_a_film_of_figures_has_every_frame():
    made = figures(6)
    film = Film(widgets.scrubber(made, list("abcdef"), "Figure 2.", "A bar that climbs.", name="height").data)
    frames = [film.frame(i) for i in range(6)]
    for i, (frame, figure) in enumerate(zip(frames, made)):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80)
        original = np.asarray(Image.open(buffer).convert("RGB")).astype(int)
        assert np.abs(original - frame).mean() < 4, i  # 128 colours are enough
        assert all(np.abs(original - other).mean() > 6 for j, other in enumerate(frames) if j != i)
    assert film.zoom == 1


def test_a_film_can_be_used_without_seeing_it_and_without_scripts():
    alt, caption, name = 'A "bar" <climbs> & falls.', "Figure 2. x < y.", "step <t>"
    film = Film(widgets.scrubber(figures(3), ["1", "</script>", "3"], caption, alt, name=name).data)
    assert film.image["alt"] == alt == film.stage["aria-label"]
    assert film.slider["type"] == "range" and film.slider["aria-label"] == name
    assert caption in film.page.text and film.labels[1] == "</script>"
    assert film.html.count("</script>") == 1  # a label cannot end the script
    assert "hidden" in next(attrs for tag, attrs in film.page.found if attrs.get("class") == "dt-film")
    assert "style" in film.image and "display" not in film.image["style"]  # the sheet shows where scripts do not run


def test_two_films_do_not_share_a_name_and_one_is_always_the_same():
    one, again, *others = (
        widgets.scrubber(figures(n), "abc"[:n], caption, "A bar.").data
        for n, caption in ((2, "F 1."), (2, "F 1."), (2, "F 2."), (3, "F 1."))
    )
    assert one == again and len({Film(film).figure["id"] for film in (one, *others)}) == 3
    assert one.count(Film(one).figure["id"]) == 2  # the figure and its script


def test_a_film_refuses_what_it_cannot_show(as_learner):
    pictures = torch.zeros(3, 1, 4, 4)
    with pytest.raises(ValueError, match="each of the 3 frames, got 2"):
        widgets.scrubber(pictures, "ab", "c", "a")
    with pytest.raises(ValueError, match="got 0 frames"):
        widgets.scrubber([], [], "c", "a")
    for start in (3, -1):
        with pytest.raises(ValueError, match=f"start = {start}"):
            widgets.scrubber(pictures, "abc", "c", "a", start=start)
    for bad in (pictures[:, 0], pictures.expand(3, 2, 4, 4), pictures * torch.nan):
        with pytest.raises(ValueError, match=r"finite pictures \(n, 1 or 3, h, w\), got shape"):
            widgets.scrubber(bad, "abc", "c", "a")
    with pytest.raises(ValueError, match="frames of one size, got"):
        widgets.scrubber([*figures(2), *figures(1, width=2)], "abc", "c", "a")


class Drawer:
    """Draws a bar of the asked height, and remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, **values):
        self.asked.append(values)
        return figures(10)[int(values.get("height", 0))]


def test_explore_redraws_when_a_control_changes():
    draw = Drawer()
    box = widgets.explore(
        draw, "Figure 3.", 'A "bar".', height=(0, 9, 1, 4), beta=(0.0, 1.0, 0.1, 0.5), name=["a", "b"]
    )
    *controls, picture = box.children
    height, beta, name = controls
    assert draw.asked == [dict(height=4, beta=0.5, name="a")]
    first = picture.value
    height.value = 7
    assert draw.asked[-1] == dict(height=7, beta=0.5, name="a") and picture.value != first
    page = Page(picture.value)
    assert page.text == "Figure 3." and page.found[1][1]["alt"] == 'A "bar".'
    beta.value = 0.25
    name.value = "b"
    assert draw.asked[2:] == [dict(height=7, beta=0.25, name="a"), dict(height=7, beta=0.25, name="b")]
    height.value = 4
    assert picture.value == first  # the same question, the same picture


def test_explore_makes_the_control_that_was_asked_for():
    box = widgets.explore(
        Drawer(), "c", "a", n=(1, 9, 2, 3), x=(0, 1, 0.25, 0.5), menu=["one", "two"], also=("three", "four")
    )
    n, x, menu, also, _ = box.children
    assert isinstance(n, ipywidgets.IntSlider) and (n.min, n.max, n.step, n.value) == (1, 9, 2, 3)
    assert isinstance(x, ipywidgets.FloatSlider) and (x.min, x.max, x.step, x.value) == (0, 1, 0.25, 0.5)
    assert not n.continuous_update and not x.continuous_update  # it draws when let go
    assert isinstance(menu, ipywidgets.Dropdown) and menu.options == ("one", "two") and menu.value == "one"
    assert also.options == ("three", "four") and also.value == "three"
    assert [control.description for control in (n, x, menu, also)] == ["n", "x", "menu", "also"]


@pytest.mark.parametrize(
    "spec", [(0, 1, 0.5), (), [], (0, 1, 0.1, 5), (5, 1, 1, 2), (0, 1, 0, 0), ("a", 1, 0.5, 0), ("a", 0, 1, 0.5, 0)]
)
def test_explore_refuses_a_control_that_is_none(spec, as_learner):
    with pytest.raises(ValueError, match=r"expected x (as \(lowest|to begin)"):
        widgets.explore(Drawer(), "c", "a", x=spec)


def test_the_weather_grid_redraws_and_mends_rows():
    P = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.4, 0.5]])
    drawn = []

    def draw(matrix):
        drawn.append(matrix)
        return figures(10)[round(9 * matrix[0, 0].item())]

    box = widgets.weather(P, draw, "Figure 2.1.", "A matrix.")
    fields = [w for w in box.children[0].children if isinstance(w, ipywidgets.BoundedFloatText)]
    note, again, picture = box.children[1:]
    assert len(fields) == 9 and [f.value for f in fields] == pytest.approx(P.flatten().tolist(), abs=1e-4)
    torch.testing.assert_close(drawn[-1], P)
    first = picture.value
    assert "Every row adds up to 1." in note.value and "Figure 2.1." in first and 'alt="A matrix."' in first
    fields[0].value = 0.2  # the sunny row is now 0.2, 0.1, 0.1
    torch.testing.assert_close(drawn[-1][0], torch.tensor([0.5, 0.25, 0.25]))
    assert picture.value != first and "sunny row adds up to 0.40" in note.value
    count = len(drawn)
    for field in fields[:3]:
        field.value = 0
    assert "sunny row is all zeros" in note.value and (torch.stack(drawn).sum(2) - 1).abs().max() < 1e-5
    again.click()
    torch.testing.assert_close(drawn[-1], P)
    assert picture.value == first and len(drawn) <= count + 3


class Painter:
    """Draws four grey pictures, lighter for a larger w, and remembers what it was asked for; it knows two words."""

    def __init__(self):
        self.asked = []

    def __call__(self, prompt, seed, w):
        Tokenizer(["cat", "moon"])([prompt])
        self.asked.append((prompt, seed, w))
        return torch.full((4, 3, 6, 6), w / 10 - 1) + 0.01 * seed


def test_a_prompt_box_draws_again_when_something_changes():
    paint = Painter()
    box = widgets.prompt_box(paint, "Figure 9.1.", 'Four "cats".', prompt=" cat  moon ", seed=3, w=2)
    text, numbers, note, picture = box.children
    seed, w = numbers.children
    assert paint.asked == [("cat moon", 3, 2)] and not text.continuous_update and not w.continuous_update
    page = Page(picture.value)
    assert page.text == "Figure 9.1. Asked for: cat moon; seed 3, w = 2." and page.found[1][1]["alt"] == 'Four "cats".'
    first = picture.value
    text.value, seed.value, w.value = "Moon", 4, 7.5
    assert paint.asked[1:] == [("Moon", 3, 2), ("Moon", 4, 2), ("Moon", 4, 7.5)] and picture.value != first
    assert "w = 7.5" in Page(picture.value).text
    if ipywidgets.__version__ >= "8":  # 7, which Colab has, shows itself in another way
        assert box._repr_mimebundle_()["text/html"] == picture.value


def test_a_prompt_box_says_what_it_does_with_an_unknown_word_and_with_none():
    paint = Painter()
    box = widgets.prompt_box(paint, "Figure 9.1.", "Four cats.", prompt="moon")
    text, _, note, picture = box.children
    text.value = "<b>moog</b>"
    assert "<img" not in picture.value and "never learned the word &quot;b&quot;" in picture.value
    assert "Nothing drawn." in note.value and len(paint.asked) == 1
    text.value = "a moog"
    text.value = "moog"
    assert "the nearest that it knows: moon" in picture.value
    text.value = ""
    assert "<img" in picture.value and "No words" in note.value and "(nothing)" in Page(picture.value).text
    text.value = "cat"
    assert "<img" in picture.value and "No words" not in note.value and paint.asked[-1][0] == "cat"


def test_a_prompt_box_says_what_is_not_taken_as_typed():
    paint = Painter()
    box = widgets.prompt_box(paint, "Figure 9.1.", "Four cats.", understand=Tokenizer(["cat", "moon"]).understand)
    text, _, note, picture = box.children
    assert "No words" in note.value
    text.value = "could you: two cats 🐱"
    for said in (
        "Passed over, for they change nothing here: &quot;could&quot;, &quot;you&quot;. A picture here",
        "🐱.",
    ):
        assert said in note.value
    assert "<img" in picture.value and paint.asked[-1][0] == text.value and "No words" not in note.value
    text.value = "cat"
    assert note.value == '<p role="status" style="margin:0"></p>'
    text.value = "could you"
    assert "you&quot;. No words" in note.value
    text.value = "a moog"
    assert "never learned" in picture.value and "Nothing drawn." in note.value and paint.asked[-1][0] == "could you"
