import base64
import io
import json
import re
from html import escape

import numpy as np
import pytest
import torch
from PIL import Image
from test_plotting import Page

from diffusion_tutorial import page, widgets
from diffusion_tutorial.data import digits
from diffusion_tutorial.widgets.canvas import FOLDER

ALT, CAPTION = 'A "digit" <b>with a hole</b> & more.', 'Figure 10.1. a < b & "c".'
DIGITS = digits.load()[0][[0, 700, 1400, 2100]]
COLOURS = torch.rand(4, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
LOWER = torch.arange(28)[:, None].expand(28, 28) >= 14


class Recorder:
    """Answers every question with the same thing, or raises it if it is an error, and remembers what it was given."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def __call__(self, given):
        self.asked.append(given)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def pictures(html: str) -> list[np.ndarray]:
    """The pictures that stand in some HTML."""
    sources = [attrs["src"].split(",", 1)[1] for tag, attrs in Page(html).found if tag == "img"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))) for source in sources]


def press(widget, pixels=None) -> str:
    """What the browser does when somebody draws these pixels and presses the button; what the widget says in the end."""
    drawn = {} if pixels is None else {"pixels": torch.as_tensor(pixels).flatten().int().tolist()}
    widget.set_state({**drawn, "busy": True, "says": "Waiting for the kernel …"})
    assert not widget.busy
    return widget.says


def still(widget) -> Image.Image:
    """The picture for a page that knows no widgets."""
    return Image.open(io.BytesIO(widget.still())).convert("RGB")


def test_the_brush_fills_the_hole_that_was_painted():
    fill = Recorder(DIGITS)
    box = widgets.brush(DIGITS[0], fill, CAPTION, ALT)
    assert not fill.asked and not box.shown and not any(box.pixels)  # nothing painted, nothing asked
    hole = torch.rand(28, 28, generator=torch.Generator().manual_seed(1)) > 0.7
    assert press(box, hole) == "Done."
    (mask,) = fill.asked
    assert mask.dtype == torch.bool and torch.equal(mask, hole) and torch.equal(box.drawing(), hole)
    for shown, picture in zip(pictures(box.shown), digits.to_pixels(DIGITS).numpy(), strict=True):
        np.testing.assert_array_equal(shown[::3, ::3], picture)  # four answers: half of the scale of 6
    press(box)
    assert len(fill.asked) == 2  # the same hole once more is a question once more


def test_the_brush_takes_a_picture_in_colour_of_any_shape():
    fill = Recorder(COLOURS[1:2])
    box = widgets.brush(COLOURS[0], fill, CAPTION, ALT, scale=3)
    (background,) = pictures(f'<img src="{box.picture}">')
    assert background.shape == (6, 5, 3)
    np.testing.assert_array_equal(background, (COLOURS[0].add(1) * 127.5).round().byte().permute(1, 2, 0).numpy())
    hole = torch.zeros(6, 5, dtype=torch.bool)
    hole[4, 1] = True
    press(box, hole)
    (shown,) = pictures(box.shown)
    assert torch.equal(fill.asked[0], hole) and shown.shape == (18, 15, 3)  # one answer: as large as the canvas


@pytest.mark.parametrize("mask", [LOWER, LOWER.float(), LOWER[None]], ids=["bool", "numbers", "a channel"])
def test_a_hole_to_begin_with_is_filled_at_once(mask, as_learner):
    fill = Recorder(DIGITS)
    box = widgets.brush(DIGITS[0], fill, CAPTION, ALT, mask=mask)
    assert len(fill.asked) == 1 and torch.equal(fill.asked[0], LOWER) and box.says == "Done."
    canvas = np.asarray(box.looks(6))
    known = digits.to_pixels(DIGITS)[0, :14].numpy().repeat(6, 0).repeat(6, 1)
    np.testing.assert_array_equal(canvas[:84], known[..., None].repeat(3, 2))
    assert canvas.shape == (168, 168, 3) and {tuple(c) for c in canvas[84:, :24].reshape(-1, 3)} == {
        (184, 127, 0),
        (0, 0, 0),
    }  # orange and black stripes over the dark lower half
    sheet = still(box)  # the canvas and four answers, each 336 pixels wide, under a line for labels
    assert sheet.size == (5 * 336 + 4 * 16, 336 + 36)
    answer = np.asarray(sheet)[36 + 6 :: 12, 1 * 352 + 6 : 1 * 352 + 336 : 12, 0]
    np.testing.assert_allclose(answer, digits.to_pixels(DIGITS)[0].numpy(), atol=4)


def test_without_a_hole_the_brush_asks_nothing_and_says_so():
    fill = Recorder(DIGITS)
    box = widgets.brush(DIGITS[0], fill, CAPTION, ALT)
    assert press(box).startswith("There is no hole yet: paint") and not fill.asked and not box.shown


def test_the_pad_sends_what_was_drawn_and_shows_rows():
    answer = Recorder({"cleaned <1>": DIGITS[:1], "completed": DIGITS})
    pad = widgets.sketchpad(answer, CAPTION, ALT)
    assert not answer.asked and press(pad).startswith("The pad is empty: draw") and not answer.asked
    drawn = digits.to_pixels(DIGITS)[2]
    assert press(pad, drawn) == "Done."
    torch.testing.assert_close(answer.asked[0], DIGITS[2], atol=0, rtol=0)
    assert len(pictures(pad.shown)) == 5 and Page(pad.shown).text == "cleaned <1>completed"
    alts = [attrs["alt"] for tag, attrs in Page(pad.shown).found if tag == "img"]
    assert alts[0] == "cleaned <1>, 1 of 1" and alts[-1] == "completed, 4 of 4"


def test_a_digit_to_begin_with_is_answered_at_once():
    answer = Recorder(DIGITS[:1])
    pad = widgets.sketchpad(answer, CAPTION, ALT, start=DIGITS[3])
    torch.testing.assert_close(answer.asked, [DIGITS[3]], atol=0, rtol=0)
    sheet = np.asarray(still(pad))[36 + 6 :: 12, 6::12, 0].astype(int)
    np.testing.assert_allclose(sheet[:, :28], digits.to_pixels(DIGITS)[3].numpy(), atol=4)
    answered = np.asarray(still(pad))[36 + 6 :: 12, 352 + 6 :: 12, 0].astype(int)
    np.testing.assert_allclose(answered, digits.to_pixels(DIGITS)[0].numpy(), atol=4)


WIDGETS = {
    "brush": lambda answer: widgets.brush(DIGITS[0], answer, CAPTION, ALT, mask=LOWER),
    "sketchpad": lambda answer: widgets.sketchpad(answer, CAPTION, ALT, start=DIGITS[0]),
}
each_widget = pytest.mark.parametrize("make", WIDGETS.values(), ids=WIDGETS)


@each_widget
def test_a_value_error_is_a_sentence_in_place_of_the_pictures(make):
    answer = Recorder(DIGITS)
    widget = make(answer)
    answer.answer = ValueError("expected a <smaller> hole")
    assert press(widget) == "expected a <smaller> hole." and not widget.shown
    answer.answer = DIGITS
    assert press(widget) == "Done." and len(pictures(widget.shown)) == 4


@each_widget
def test_while_it_works_it_says_so(make):
    heard = []
    widget = make(lambda given: DIGITS)
    widget.answer = lambda given: heard.append((widget.busy, widget.says)) or DIGITS
    press(widget)
    assert heard == [(True, widget.WORKING)] and widget.WORKING.endswith(" …")


@each_widget
def test_any_other_error_is_named_and_raised(make):
    answer = Recorder(DIGITS)
    widget = make(answer)
    answer.answer = ZeroDivisionError("by zero")
    with pytest.raises(ZeroDivisionError):
        widget.busy = True
    assert widget.says == "ZeroDivisionError: by zero" and not widget.busy


@each_widget
@pytest.mark.parametrize("bad", [DIGITS[0], DIGITS[:0], DIGITS.expand(4, 2, 28, 28), DIGITS * torch.nan])
def test_an_answer_that_is_no_pictures_is_named(make, bad, as_learner):
    assert re.match(r"expected (finite|pictures|a finite picture).*, got shape \(.*\.$", make(Recorder(bad)).says)


@each_widget
def test_a_page_gets_a_picture_the_widget_and_the_caption(make, monkeypatch):
    sent = []
    monkeypatch.setattr(page, "display", lambda data, metadata, **options: sent.append((data, metadata)))
    widget = make(Recorder(DIGITS))
    widget._ipython_display_()
    (picture, look), (live, _), (words, _) = sent
    assert base64.b64decode(picture["image/png"]) == widget.still() and look["image/png"]["alt"] == ALT
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id and "text/html" not in live
    assert words["text/plain"] == CAPTION == Page(words["text/html"]).text
    assert widget.saved == still(widget).width


@each_widget
def test_what_travels_to_the_browser_is_json(make):
    widget = make(Recorder(DIGITS))
    state = {key: value for key, value in widget.get_state().items() if key not in ("layout", "tabbable", "tooltip")}
    assert json.loads(json.dumps(state))["alt"] == ALT


@pytest.mark.parametrize("path", [*FOLDER.glob("*.js"), *FOLDER.glob("*.css")], ids=lambda path: path.name)
def test_the_browser_side_loads_nothing(path):
    assert not re.search(r"https?:|\bimport\b|\bfetch\b|\beval\b|url\(|XMLHttp", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "bad", [DIGITS, DIGITS[0, 0], DIGITS[0].expand(2, 28, 28), DIGITS[0] * 255, DIGITS[0] * torch.nan]
)
def test_brush_and_pad_refuse_what_is_no_picture(bad, as_learner):
    with pytest.raises(ValueError, match=r"expected a picture \(1 or 3, h, w\) in \[-1, 1\], got \("):
        widgets.brush(bad, Recorder(DIGITS), CAPTION, ALT)
    with pytest.raises(ValueError, match=r"expected a start \(1, 28, 28\) in \[-1, 1\], got \("):
        widgets.sketchpad(Recorder(DIGITS), CAPTION, ALT, start=bad)


def test_the_brush_refuses_a_mask_that_does_not_fit(as_learner):
    with pytest.raises(ValueError, match=r"expected a mask of shape .* got \(28, 27\)"):
        widgets.brush(DIGITS[0], Recorder(DIGITS), CAPTION, ALT, mask=LOWER[:, :27])
    with pytest.raises(ValueError, match=r"expected a mask of 0 \(known\) and 1 \(to fill\), got 0 to 0.5"):
        widgets.brush(DIGITS[0], Recorder(DIGITS), CAPTION, ALT, mask=LOWER / 2)


def test_the_divider_holds_both_pictures_exactly():
    shown = widgets.divider(COLOURS[0], COLOURS[1], CAPTION, ALT, scale=4, names=("a <", "</script>"))
    html = shown.outputs()[1][0]["text/html"]
    inside = json.loads(re.search(r"const facts = (\{.*\});\n", html)[1])["inside"]
    for seen, picture in zip(pictures(inside), (COLOURS[1], COLOURS[0]), strict=True):
        np.testing.assert_array_equal(seen, (picture.add(1) * 127.5).round().byte().permute(1, 2, 0).numpy())
    found = dict(Page(inside).found)
    assert found["input"]["type"] == "range" and found["input"]["aria-label"] == "line between a < and </script>"
    assert f'aria-label="{escape(ALT)}"' in inside and "max-width:20px" in inside
    assert html.count("</script>") == 1  # a name cannot end the script
    side_by_side = Image.open(io.BytesIO(shown.picture))
    assert side_by_side.size == (2 * 40 + 16, 48 + 36)  # for pages where scripts do not run


def test_two_dividers_do_not_share_a_name_and_one_is_always_the_same():
    one, again, other = (
        widgets.divider(DIGITS[0], after, CAPTION, ALT).outputs()[1][0]["text/html"]
        for after in (DIGITS[1], DIGITS[1], DIGITS[2])
    )
    name = re.compile(r'<figure id="(divider-\w+)"')
    assert one == again and name.search(one)[1] != name.search(other)[1]


def test_the_divider_refuses_what_it_cannot_lay_over_each_other(as_learner):
    with pytest.raises(ValueError, match=r"one shape, got \(1, 28, 28\) and \(3, 6, 5\)"):
        widgets.divider(DIGITS[0], COLOURS[0], CAPTION, ALT)
    for bad in (DIGITS, DIGITS[0, 0], DIGITS[0].expand(2, 28, 28), DIGITS[0] * torch.nan):
        with pytest.raises(ValueError, match=r"finite picture \(1 or 3, h, w\), got shape"):
            widgets.divider(bad, bad, CAPTION, ALT)
