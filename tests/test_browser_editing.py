"""The brush, the sketchpad and the divider in a real JupyterLab in a real browser, on a notebook made for it.

Needs what tests/test_browser.py needs; skipped, with the reason, where that is not there.
"""

import base64
import io

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from test_browser import jupyterlab, opened, press_run_all, pytestmark, run_all, wait_for  # noqa: F401  (the reason to skip)

from diffusion_tutorial import pretrained
from diffusion_tutorial.data import digits

PICTURE = digits.load()[0][1000]
CELLS = (
    """\
import torch
from diffusion_tutorial import widgets
from diffusion_tutorial.data import digits

picture = digits.load()[0][1000]

def fill(mask):
    if mask.all():
        raise ValueError("expected a hole <smaller> than the picture")
    return torch.stack([torch.where(mask, -picture, picture), torch.where(mask, 0, picture)])

def answer(x0):
    return {"yours": x0[None], "negative": -x0[None]}

divider = widgets.divider(picture, -picture, "Figure 3. Its negative.", "A digit and its negative.")""",
    'box = widgets.brush(picture, fill, "Figure 1. Paint a hole.", "A two.")\nbox',
    "box",
    'widgets.sketchpad(answer, "Figure 2. Draw a digit.", "A pad.")',
    "divider",
    "divider",
)
BRUSH, AGAIN, PAD, DIVIDER, DIVIDER_AGAIN = range(1, 6)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A JupyterLab with the notebook of CELLS."""
    home = tmp_path_factory.mktemp("lab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, home / "canvas.ipynb")
    with jupyterlab(home) as base:
        yield base


@pytest.fixture(scope="module")
def run_once(base):
    """The notebook, opened and run."""
    with opened(base, "canvas.ipynb") as page:
        run_all(page)
        yield page


@pytest.fixture
def page(run_once):
    """The notebook with nothing drawn in it."""
    for cell in (BRUSH, PAD):
        figure(run_once, cell).get_by_role("button", name="Clear").click()
    return run_once


def figure(page, cell):
    """The figure under a cell, in view."""
    card = page.locator(".jp-Notebook .jp-CodeCell").nth(cell).locator(".jp-OutputArea-output figure")
    card.scroll_into_view_if_needed()
    return card


def drag(page, canvas, *places):
    """A line with the mouse through these places, in shares of the canvas's width and height."""
    box = canvas.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert("RGB"))


def canvas_of(card):
    """The canvas as it is on the page: (height, width, 3)."""
    return decoded(card.locator("canvas").evaluate("canvas => canvas.toDataURL()")).astype(int)


def changed(card, before):
    """The pixels of the picture, (28, 28), whose squares on the canvas are not as they were."""
    now = canvas_of(card)
    zoom = len(now) // 28
    return (now != before).any(-1).reshape(28, zoom, 28, zoom).any((1, 3))


def pad_of(card):
    """What is drawn on the pad: (28, 28), 0..255."""
    pixels = canvas_of(card)[..., 0]
    zoom = len(pixels) // 28
    np.testing.assert_array_equal(pixels, pixels[::zoom, ::zoom].repeat(zoom, 0).repeat(zoom, 1))  # crisp squares
    return pixels[::zoom, ::zoom]


def answered(card):
    """The pictures of the answer, (28, 28) each."""
    shown = [decoded(image.get_attribute("src")) for image in card.locator("img").all()]
    return [pixels[:: len(pixels) // 28, :: len(pixels) // 28, 0].astype(int) for pixels in shown]


def says(card, sentence):
    """Wait until the figure says this."""
    status = card.get_by_role("status")
    wait_for(lambda: sentence in status.inner_text(), 60, lambda: f"it says: {status.inner_text()}")


def centre(pixels):
    """The centre of mass, (x, y), with (14, 14) the middle of the pad."""
    at = np.arange(28) + 0.5
    return (pixels.sum(0) @ at / pixels.sum(), pixels.sum(1) @ at / pixels.sum())


def upload(card, file):
    """Choose a file, on a pad that is clear, and give back what it says and shows."""
    card.get_by_role("button", name="Clear").click()
    card.locator("input[type=file]").set_input_files(file)
    says(card, file["name"] if "notes" in file["name"] or "blank" in file["name"] else "cut out and centred")
    return pad_of(card)


def png(picture, name="photo.png"):
    """A picture as a file to upload."""
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def photo(picture, seed=0, light=True):
    """A digit (28, 28), 0..255, as ink on a sheet of paper that is unevenly lit, with grain, a speck and a margin."""
    rng = np.random.default_rng(seed)
    sheet = np.zeros((420, 320))
    x, y = rng.integers(20, 140), rng.integers(20, 240)
    sheet[y : y + 160, x : x + 160] = np.asarray(Image.fromarray(picture).resize((160, 160), Image.Resampling.BICUBIC))
    sheet[y + 165 : y + 169, x : x + 4] = 255
    shade = np.linspace(1, 0.75, 320) * np.linspace(1, 0.85, 420)[:, None]
    grey = shade * (225 - 0.75 * sheet) if light else 40 * shade + 0.8 * sheet
    return Image.fromarray((grey + rng.normal(0, 4, grey.shape)).clip(0, 255).astype(np.uint8))


def test_nothing_went_wrong(page):
    for stain in ("error", "stderr"):
        assert page.locator(f"[data-mime-type='application/vnd.jupyter.{stain}']").count() == 0


def test_a_painted_hole_is_filled_and_the_rest_stays(page):
    card = figure(page, BRUSH)
    before = canvas_of(card)
    known = digits.to_pixels(PICTURE[None])[0].numpy().astype(int)
    np.testing.assert_array_equal(pad_of(card), known)  # nothing painted
    drag(page, card.locator("canvas"), (0.3, 0.5), (0.7, 0.5), (0.7, 0.8))
    striped = changed(card, before)
    assert striped[14, 8:20].all() and striped[14:23, 19].all() and 40 < striped.sum() < 200
    card.get_by_role("button", name="Fill").click()
    says(card, "Done.")
    negative, grey = answered(card)
    np.testing.assert_array_equal(negative != known, striped)  # filled where it was painted, and nowhere else
    np.testing.assert_array_equal(negative[striped], 255 - known[striped])
    assert (grey[striped] == 128).all() and (grey[~striped] == known[~striped]).all()


def test_the_rubber_and_the_clear_button_take_the_hole_away(page):
    card = figure(page, BRUSH)
    before = canvas_of(card)
    drag(page, card.locator("canvas"), (0.2, 0.2), (0.8, 0.8))
    painted = changed(card, before).sum()
    card.get_by_label("rub out").check()
    drag(page, card.locator("canvas"), (0.5, 0.5), (0.8, 0.8))
    card.get_by_label("rub out").uncheck()
    assert 0 < changed(card, before).sum() < 0.8 * painted
    card.get_by_role("button", name="Clear").click()
    np.testing.assert_array_equal(canvas_of(card), before)
    card.get_by_role("button", name="Fill").click()
    says(card, "There is no hole yet")


def test_a_hole_can_be_made_and_filled_by_keyboard(page):
    card = figure(page, BRUSH)
    before = canvas_of(card)
    card.get_by_label("ready-made hole").select_option("lower half")
    striped = changed(card, before)
    assert striped[14:].all() and not striped[:14].any()
    card.get_by_role("button", name="Clear").click()
    card.get_by_label("ready-made hole").select_option("lower half")  # the same once more
    np.testing.assert_array_equal(changed(card, before), striped)
    slider = card.get_by_label("brush")
    size = int(slider.input_value())
    slider.press("ArrowUp")  # JupyterLab would go to the cell above
    assert int(slider.input_value()) == size + 1
    slider.press("ArrowDown")
    button = card.get_by_role("button", name="Fill")
    button.focus()
    assert button.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"  # it shows where the keyboard is
    button.press("Enter")
    says(card, "Done.")
    known = digits.to_pixels(PICTURE[None])[0].numpy()
    np.testing.assert_array_equal(answered(card)[0] != known, striped)


def test_the_brush_paints_by_keyboard_and_says_where(page):
    card = figure(page, BRUSH)
    before = canvas_of(card)
    card.get_by_label("brush").fill("1")
    canvas, heard = card.locator("canvas"), card.locator(".dt-heard")
    canvas.focus()
    canvas.press("ArrowUp")  # from the middle, and JupyterLab would go to the cell above
    assert heard.inner_text() == "row 14 of 28, column 15 of 28, empty" and card.locator(".dt-cursor").is_visible()
    assert not changed(card, before).any()
    canvas.press("Space")
    for _ in range(3):
        canvas.press("Shift+ArrowRight")
    assert heard.inner_text() == "row 14 of 28, column 18 of 28, painted"
    striped = changed(card, before)
    assert striped[13, 14:18].all() and striped.sum() == 4
    assert "The hole: 4 of 784 pixels, in rows 14 to 14 and columns 15 to 18." in canvas.get_attribute("aria-label")
    card.get_by_label("rub out").check()
    canvas.press("Space")
    card.get_by_label("rub out").uncheck()
    assert changed(card, before).sum() == 3
    for _ in range(40):
        canvas.press("ArrowLeft")
    assert "column 1 of 28, empty" in heard.inner_text()  # it stops at the edge
    card.get_by_role("button", name="Fill").press("Enter")
    says(card, "Done.")
    assert not card.locator(".dt-cursor").is_visible()


def test_the_brush_s_menu_and_label_follow_what_is_painted(page):
    card = figure(page, BRUSH)
    menu, canvas = card.get_by_label("ready-made hole"), card.locator("canvas")
    menu.select_option("left half")
    assert "The hole: left half." in canvas.get_attribute("aria-label")
    drag(page, canvas, (0.8, 0.2), (0.8, 0.6))
    assert menu.input_value() == "" and "left half" not in canvas.get_attribute("aria-label")
    card.get_by_role("button", name="Clear").click()
    assert "The hole: nothing." in canvas.get_attribute("aria-label")


def test_a_digit_is_drawn_by_keyboard(page):
    card = figure(page, PAD)
    canvas = card.locator("canvas")
    canvas.focus()
    for _ in range(6):
        canvas.press("Shift+ArrowDown")
    drawn = pad_of(card)
    assert drawn[14:21, 14].min() == 255 and drawn[:12].max() == 0
    assert "Drawn: " in canvas.get_attribute("aria-label") and "painted" in card.locator(".dt-heard").inner_text()
    card.get_by_role("button", name="Send").click()
    says(card, "Done.")
    np.testing.assert_array_equal(answered(card)[0], drawn)


def test_the_brush_shows_the_sentence_of_a_value_error(page):
    card = figure(page, BRUSH)
    card.get_by_label("ready-made hole").select_option("everything")
    card.get_by_role("button", name="Fill").click()
    says(card, "expected a hole <smaller> than the picture.")
    assert card.locator("img").count() == 0 and card.get_by_role("button", name="Fill").is_enabled()


def test_a_second_display_shows_and_does_the_same(page):
    first, second = figure(page, BRUSH), figure(page, AGAIN)
    drag(page, second.locator("canvas"), (0.2, 0.3), (0.8, 0.3))
    second.get_by_role("button", name="Fill").click()
    says(second, "Done.")
    says(first, "Done.")
    np.testing.assert_array_equal(canvas_of(first), canvas_of(second))
    np.testing.assert_array_equal(answered(first), answered(second))


def test_a_drawn_digit_is_sent_and_answered(page):
    card = figure(page, PAD)
    assert not pad_of(card).any()
    card.get_by_role("button", name="Send").click()
    says(card, "The pad is empty")
    drag(page, card.locator("canvas"), (0.3, 0.25), (0.7, 0.25), (0.45, 0.75))
    drawn = pad_of(card)
    assert drawn[7, 9:19].min() == 255 and len(np.unique(drawn)) > 6 and not drawn[:4].any()  # white, soft at the edge
    card.get_by_role("button", name="Send").click()
    says(card, "Done.")
    yours, negative = answered(card)
    np.testing.assert_array_equal(yours, drawn)
    np.testing.assert_array_equal(negative, 255 - drawn)
    assert card.get_by_text("negative", exact=True).is_visible()


def test_a_small_digit_in_a_corner_can_be_centred(page):
    card = figure(page, PAD)
    drag(page, card.locator("canvas"), (0.1, 0.1), (0.35, 0.1), (0.2, 0.4))
    assert max(centre(pad_of(card))) < 9
    card.get_by_role("button", name="Centre").click()
    rows, _ = np.nonzero(pad_of(card))
    assert centre(pad_of(card)) == pytest.approx((14, 14), abs=0.3) and rows.max() - rows.min() >= 18


@pytest.mark.parametrize("light", [True, False], ids=["dark on light", "light on dark"])
def test_a_photo_of_a_digit_becomes_one_of_mnists(page, light):
    card = figure(page, PAD)
    sheet = Image.new("L", (300, 400), 230 if light else 20)
    ImageDraw.Draw(sheet).line([(60, 300), (60, 180), (110, 180)], fill=40 if light else 250, width=14)
    pad = upload(card, png(sheet))
    rows, columns = np.nonzero(pad > 100)
    assert pad.max() == 255 and not pad[:3].any() and not pad[:, :3].any()  # white on black
    assert 19 <= rows.max() - rows.min() + 1 <= 21 and columns.max() - columns.min() < 12
    assert centre(pad) == pytest.approx((14, 14), abs=0.3)
    assert (
        pad[rows.max(), columns.max()] == 0 and pad[rows.min() + 1, columns.max() - 1] > 100
    )  # not turned or mirrored


@pytest.mark.parametrize("light", [True, False])
def test_strokes_on_a_transparent_ground_are_what_counts(page, light):
    alpha = Image.new("L", (300, 400), 0)
    ImageDraw.Draw(alpha).line([(60, 300), (60, 180), (110, 180)], fill=255, width=14)
    sheet = Image.new("RGBA", alpha.size, "white" if light else "black")
    sheet.putalpha(alpha)
    pad = upload(figure(page, PAD), png(sheet))
    rows, columns = np.nonzero(pad > 100)
    assert pad.max() == 255 and not pad[:3].any() and 19 <= rows.max() - rows.min() + 1 <= 21
    assert columns.max() - columns.min() < 12 and (pad > 100).sum() < 100


def test_a_photo_is_turned_as_the_camera_says(page):
    upright = Image.new("L", (300, 400), 230)
    ImageDraw.Draw(upright).line([(60, 180), (200, 180), (120, 330)], fill=40, width=14)
    sheet = upright.transpose(Image.Transpose.ROTATE_90)  # as the sensor has it
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    sheet.save(buffer, "jpeg", quality=95, exif=exif)
    card = figure(page, PAD)
    expected = upload(card, png(upright))
    turned = upload(card, {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()})
    assert np.abs(turned.astype(int) - expected).mean() < 3


def test_photos_of_ten_digits_are_read_as_what_they_are(page):
    card, judge = figure(page, PAD), pretrained.load("digit_classifier")
    images, labels = digits.load()
    pads = []
    for label in range(10):
        one = digits.to_pixels(images[labels == label][7:8])[0].numpy()
        pads.append(upload(card, png(photo(one, seed=label, light=label % 3 != 0))))
    read = judge(digits.to_signed(torch.tensor(np.stack(pads), dtype=torch.uint8))).argmax(1)
    assert (read == torch.arange(10)).sum() >= 9, read


def test_a_file_that_shows_no_digit_is_named(page):
    card = figure(page, PAD)
    notes = {"name": "notes.png", "mimeType": "image/png", "buffer": b"this is no picture"}
    assert not upload(card, notes).any()
    assert "notes.png is no picture that your browser can read" in card.get_by_role("status").inner_text()
    assert not upload(card, png(Image.new("L", (50, 70), 200), "blank.png")).any()
    assert "no ink to be seen in blank.png" in card.get_by_role("status").inner_text()


def test_the_divider_moves_by_keyboard_on_both_displays(page):
    for cell in (DIVIDER, DIVIDER_AGAIN):
        card = figure(page, cell)
        slider, line = card.get_by_role("slider"), card.locator("[role=img] > div")
        widths = [line.bounding_box()["x"]]
        for key in ("ArrowLeft", "End", "Home"):
            slider.press(key)
            widths.append(line.bounding_box()["x"])
        assert widths[2] > widths[0] > widths[1] > widths[3]
        assert slider.get_attribute("aria-valuetext") == "0 % before, 100 % after"


def test_running_everything_again_works(page):
    for cell in (BRUSH, DIVIDER_AGAIN):
        figure(page, cell).evaluate("figure => figure.classList.add('old')")
    press_run_all(page)
    page.locator("figure.old").first.wait_for(state="detached", timeout=60_000)
    card = figure(page, BRUSH)
    assert card.locator("img").count() == 0  # a new widget
    card.get_by_label("ready-made hole").select_option("middle")
    card.get_by_role("button", name="Fill").click()
    says(card, "Done.")
    assert len(answered(card)) == 2
