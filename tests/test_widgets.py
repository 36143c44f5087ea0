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


def html_of(shown) -> str:
    """The HTML output of a figure that moves."""
    return shown.outputs()[1][0]["text/html"]


def saved(shown) -> Image.Image:
    """The picture that a figure leaves on a page where it cannot move."""
    return Image.open(io.BytesIO(shown.picture)).convert("RGB")


class Film:
    """What a scrubber's HTML holds, and what its few lines of JavaScript do with it, done in Python."""

    def __init__(self, shown):
        self.html = html_of(shown)
        self.facts = json.loads(re.search(r"const facts = (\{.*\});\n", self.html)[1])
        self.page = Page(self.facts["inside"])
        tags = dict(self.page.found)
        self.canvas, self.slider = tags["canvas"], tags["input"]
        self.sheet = Image.open(io.BytesIO(base64.b64decode(self.facts["sheet"].split(",", 1)[1]))).convert("RGB")
        self.labels, self.columns = self.facts["labels"], self.facts["columns"]
        self.w, self.h = int(self.canvas["width"]), int(self.canvas["height"])
        self.widest = int(re.search(r"max-width:(\d+)px", self.canvas["style"])[1])
        assert self.facts["saved"] == saved(shown).width

    def frame(self, i: int) -> np.ndarray:
        """What is on the canvas when the slider stands at i."""
        x, y = (i % self.columns) * self.w, i // self.columns * self.h
        assert x + self.w <= self.sheet.width and y + self.h <= self.sheet.height
        return np.asarray(self.sheet.crop((x, y, x + self.w, y + self.h)))


@pytest.mark.parametrize("n, columns", [(1, None), (7, 3), (23, None)])
def test_a_film_of_pictures_has_every_frame(n, columns):
    images = digits.load()[0][::200][:n]
    labels = [f"t = {50 * i}" for i in range(n)]
    film = Film(widgets.scrubber(images, labels, "Figure 1.", "A digit.", start=n - 1, scale=4, columns=columns))
    pixels = digits.to_pixels(images).numpy()
    for i in range(n):
        np.testing.assert_array_equal(film.frame(i)[..., 0], pixels[i])
    assert film.labels == labels and (film.w, film.h, film.widest) == (28, 28, 112)
    assert (film.slider["min"], film.slider["max"], film.slider["value"]) == ("0", str(n - 1), str(n - 1))
    assert "image-rendering:pixelated" in film.canvas["style"]


def test_a_film_in_colour_keeps_its_colours():
    images = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [0, 0, 1]])[:, :, None, None].expand(3, 3, 5, 5)
    film = Film(widgets.scrubber(images, "abc", "Figure 1.", "Colours."))
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0), (128, 128, 255)]):
        assert np.abs(film.frame(i).astype(int) - colour).max() <= 4


def test_a_film_of_figures_has_every_frame():
    made = figures(6)
    film = Film(widgets.scrubber(made, list("abcdef"), "Figure 2.", "A bar that climbs.", name="height"))
    frames = [film.frame(i) for i in range(6)]
    for i, (frame, figure) in enumerate(zip(frames, made)):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        original = np.asarray(Image.open(buffer).convert("RGB")).astype(int)
        assert np.abs(original - frame).mean() < 4, i  # 128 colours are enough
        assert all(np.abs(original - other).mean() > 6 for j, other in enumerate(frames) if j != i)
    assert film.widest == film.w / 1.5


def test_a_film_can_be_used_without_seeing_it():
    alt, name = 'A "bar" <climbs> & falls.', "step <t>"
    shown = widgets.scrubber(figures(3), ["1", "</script>", "3"], "Figure 2. x < y.", alt, name=name)
    film = Film(shown)
    assert film.canvas["aria-label"] == alt and film.canvas["role"] == "img"
    assert film.slider["type"] == "range" and film.slider["aria-label"] == name
    assert Page(shown.outputs()[2][0]["text/html"]).text == "Figure 2. x < y." and film.labels[1] == "</script>"
    assert film.html.count("</script>") == 1  # a label cannot end the script
    (figure, _), (span, label) = Page(film.html.partition("<script>")[0]).found
    assert (figure, span) == ("figure", "span") and label[
        "aria-label"
    ] == alt  # where scripts do not run, no dead slider


@pytest.mark.parametrize("n, stills", [(2, 2), (30, 4)])
def test_a_film_leaves_its_first_and_last_frame_and_some_between(n, stills):
    images = digits.load()[0][::150][:n]
    sheet = saved(widgets.scrubber(images, range(n), "c", "a"))
    assert sheet.width == stills * 224 + (stills - 1) * 16
    pixels = digits.to_pixels(images).numpy()
    for x, i in ((0, 0), (sheet.width - 224, n - 1)):
        np.testing.assert_allclose(np.asarray(sheet)[-224:, x : x + 224, 0][4::8, 4::8], pixels[i], atol=4)


def test_only_a_wide_film_with_words_keeps_its_size_on_a_narrow_page():
    def least(frames):
        return re.search(r"min-width:(\d+)px", Film(widgets.scrubber(frames, "ab", "c", "a")).canvas["style"])[1]

    assert least(figures(2, width=6)) == "480" and least(figures(2)) == least(torch.zeros(2, 1, 90, 90)) == "0"
    assert least([plotting.images(torch.zeros(9, 1, 4, 4)) for _ in range(2)]) == "0"


def test_two_films_do_not_share_a_name_and_one_is_always_the_same():
    one, again, *others = (
        html_of(widgets.scrubber(figures(n), "abc"[:n], caption, "A bar."))
        for n, caption in ((2, "F 1."), (2, "F 1."), (2, "F 2."), (3, "F 1."))
    )
    names = {re.search(r'<figure id="(film-\w+)"', film)[1] for film in (one, *others)}
    assert one == again and len(names) == 3
    assert one.count(re.search(r'<figure id="(film-\w+)"', one)[1]) == 2  # the figure and its script


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
    *controls, note, picture = box.children
    height, beta, name = controls
    assert draw.asked == [dict(height=4, beta=0.5, name="a")]
    first = picture.src
    height.value = 7
    assert draw.asked[-1] == dict(height=7, beta=0.5, name="a") and picture.src != first
    assert box.shown().caption == "Figure 3." and picture.alt == 'A "bar".'
    beta.value = 0.25
    name.value = "b"
    assert draw.asked[2:] == [dict(height=7, beta=0.25, name="a"), dict(height=7, beta=0.25, name="b")]
    height.value = 4
    assert picture.src == first  # the same question, the same picture


def test_explore_makes_the_control_that_was_asked_for():
    box = widgets.explore(
        Drawer(), "c", "a", n=(1, 9, 2, 3), x=(0, 1, 0.25, 0.5), menu=["one", "two"], also=("three", "four")
    )
    n, x, menu, also, _, _ = box.children
    assert isinstance(n, ipywidgets.IntSlider) and (n.min, n.max, n.step, n.value) == (1, 9, 2, 3)
    assert isinstance(x, ipywidgets.FloatSlider) and (x.min, x.max, x.step, x.value) == (0, 1, 0.25, 0.5)
    assert not n.continuous_update and not x.continuous_update  # it draws when let go
    assert isinstance(menu, ipywidgets.Dropdown) and menu.options == ("one", "two") and menu.value == "one"
    assert also.options == ("three", "four") and also.value == "three"
    assert [control.description for control in (n, x, menu, also)] == ["n", "x", "menu", "also"]


@pytest.mark.parametrize("spec", [(0, 1, 0.5), (), [], (0, 1, 0.1, 5), (5, 1, 1, 2), (0, 1, 0, 0)])
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
    again, note, picture = box.children[1:]
    assert len(fields) == 9 and [f.value for f in fields] == pytest.approx(P.flatten().tolist(), abs=1e-4)
    torch.testing.assert_close(drawn[-1], P)
    first = picture.src
    assert "Every row adds up to 1." in note.value and picture.alt == "A matrix."
    fields[0].value = 0.2  # the sunny row is now 0.2, 0.1, 0.1
    torch.testing.assert_close(drawn[-1][0], torch.tensor([0.5, 0.25, 0.25]))
    assert picture.src != first and "sunny row adds up to 0.40" in note.value
    count = len(drawn)
    for field in fields[:3]:
        field.value = 0
    assert "sunny row is all zeros" in note.value and (torch.stack(drawn).sum(2) - 1).abs().max() < 1e-5
    again.click()
    torch.testing.assert_close(drawn[-1], P)
    assert picture.src == first and len(drawn) <= count + 3


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
    assert "Drawn: cat moon; seed 3, w = 2." in note.value
    assert picture.alt == 'Four "cats". Asked for: cat moon; seed 3, w = 2.' == box.shown().alt
    first = picture.src
    text.value, seed.value, w.value = "Moon", 4, 7.5
    assert paint.asked[1:] == [("Moon", 3, 2), ("Moon", 4, 2), ("Moon", 4, 7.5)] and picture.src != first
    assert "w = 7.5" in picture.alt and box.shown().caption == "Figure 9.1."


def test_an_unknown_word_leaves_the_picture_and_stands_beside_it():
    paint = Painter()
    box = widgets.prompt_box(paint, "Figure 9.1.", "Four cats.", prompt="moon")
    text, _, note, picture = box.children
    first, alt = picture.src, picture.alt
    text.value = "<b>moog</b>"
    assert "never learned the word &quot;b&quot;" in note.value and "The picture is still the one before." in note.value
    assert (picture.src, picture.alt) == (first, alt) and len(paint.asked) == 1
    text.value = "moog"
    assert "the nearest that it knows: moon" in note.value and picture.src == first
    text.value = ""
    assert picture.src != first and "No words" in note.value and "(nothing)" in picture.alt
    text.value = "cat"
    assert "No words" not in note.value and paint.asked[-1][0] == "cat"


def test_a_prompt_box_may_draw_with_every_letter_and_without_a_scale():
    asked = []

    def paint(*what):
        asked.append(what)
        return torch.zeros(1, 1, 4, 4)

    box = widgets.prompt_box(paint, "Figure 9.1.", "A digit.", prompt="2", w=None, typing=True)
    text, beside = box.children[0], box.children[1]
    assert text.continuous_update and len(beside.children) == 1
    text.value = "20"
    assert asked == [("2", 0, 1.0), ("20", 0, 1.0)] and "w =" not in box.picture.alt
    usual = widgets.prompt_box(paint, "Figure 9.1.", "A digit.", prompt="2")
    assert not usual.children[0].continuous_update and len(usual.children[1].children) == 2


def test_a_prompt_box_that_begins_with_an_unknown_word_says_so_and_goes_on():
    box = widgets.prompt_box(Painter(), "Figure 9.1.", "Four cats.", prompt="moog")
    text, _, note, picture = box.children
    assert "moog" in note.value and "still" not in note.value and not picture.src
    assert [list(data)[0] for data, _ in box.shown().outputs()][-1] == "text/html"  # the caption is there
    text.value = "moon"
    assert picture.src and "Drawn: moon" in note.value


def test_a_figure_that_calls_python_says_that_it_works():
    heard = []

    def draw(height):
        heard.append(box.note.value if box else "")
        return figures(10)[height]

    box = None
    box = widgets.explore(draw, "c", "a", height=(0, 9, 1, 4))
    box.children[0].value = 5
    assert "Drawing …" in heard[1] and "Drawing" not in box.note.value and 'role="status"' in box.note.value


def test_an_error_while_exploring_leaves_the_picture_and_is_said():
    def draw(height):
        if height == 5:
            raise ValueError("5 is <too> high")
        return figures(10)[1 // (height - 6)]

    box = widgets.explore(draw, "c", "a", height=(0, 9, 1, 7))
    first = box.picture.src
    box.children[0].value = 5
    assert "5 is &lt;too&gt; high. The picture is still the one before." in box.note.value
    with pytest.raises(ZeroDivisionError):
        box.children[0].value = 6
    assert "ZeroDivisionError: " in box.note.value and box.picture.src == first
    with pytest.raises(ValueError, match="too"):
        widgets.explore(draw, "c", "a", height=(0, 9, 1, 5))  # nothing to fall back on


def test_what_a_live_figure_leaves_on_the_page():
    box = widgets.explore(Drawer(), "Figure 3.", "A bar.", height=(0, 9, 1, 4))
    (picture, look), (live, _), (words, _) = box.shown().outputs()
    assert base64.b64decode(picture["image/png"]) == base64.b64decode(box.picture.src.split(",")[1])
    assert look["image/png"]["alt"] == "A bar." and words["text/plain"] == "Figure 3."
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id and "text/html" not in live
    assert box.picture.saved == Image.open(io.BytesIO(box.png)).width and box.picture.width == round(
        box.picture.saved / 2
    )


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
    assert picture.src and paint.asked[-1][0] == text.value and "No words" not in note.value
    text.value = "cat"
    assert "Passed over" not in note.value
    text.value = "could you"
    assert "you&quot;. No words" in note.value
    text.value = "a moog"
    assert "never learned" in note.value and paint.asked[-1][0] == "could you"
