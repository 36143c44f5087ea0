"""Every kind of figure in a real browser: in JupyterLab and on an exported page without a network, on wide and narrow screens.

Needs what tests/test_browser.py needs; skipped, with the reason, where that is not there.
"""

import ipywidgets
import nbformat
import pages
import pytest
from nbconvert import HTMLExporter
from test_browser import jupyterlab, opened, pytestmark, run_all, wait_for  # noqa: F401

KINDS = list(pages.KINDS)
MOVING = KINDS[2:]  # those that are more than a picture
ALONE = MOVING[:3]  # and those of them that need no kernel
WIDTHS = [1280, 420]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the notebook of pages.py: as it was run, exported as HTML, and not run."""
    home = tmp_path_factory.mktemp("lab")
    nbformat.write(pages.made(), home / "figures.ipynb")
    (home / "figures.html").write_text(HTMLExporter().from_notebook_node(pages.run())[0], encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def lab(home):
    """The notebook, run in JupyterLab, with the side bar shut and a window so high that every cell is drawn."""
    with jupyterlab(home) as base, opened(base, "figures.ipynb") as page:
        page.keyboard.press("Control+b")
        page.set_viewport_size({"width": 1280, "height": 5000})
        run_all(page)
        yield page


@pytest.fixture(scope="module", params=WIDTHS)
def exported(home, lab, request):
    """The exported page, where nothing can be fetched."""
    page = lab.context.browser.new_page(viewport={"width": request.param, "height": 900})
    page.route("http*://**", lambda route: route.abort())
    page.goto((home / "figures.html").as_uri())
    page.wait_for_function("n => document.querySelectorAll('figure[data-ready]').length === n", arg=len(ALONE))
    yield page
    page.close()


def cell(page, kind):
    """The outputs under the cell of a kind of figure."""
    return page.locator(".jp-CodeCell").nth(1 + KINDS.index(kind)).locator(".jp-OutputArea").first


def visible(locator):
    return [each for each in locator.all() if each.is_visible()]


def natural_width(image):
    return image.evaluate("image => image.naturalWidth")


@pytest.mark.parametrize("kind", KINDS)
def test_offline_each_figure_shows_a_picture_and_its_caption(exported, kind):
    outputs = cell(exported, kind)
    assert outputs.get_by_text(pages.CAPTIONS[kind]).is_visible()
    if kind in ALONE:
        (saved,) = outputs.locator(".jp-RenderedImage").all()
        assert not saved.is_visible() and outputs.locator("figure [role=img]").is_visible()
    else:
        (image,) = visible(outputs.locator("img"))
        assert natural_width(image) > 300 and image.bounding_box()["height"] > 70


def overhang(page, outer, inner):
    """By how many pixels something stands out of the screen or of what holds it."""
    edge = min(page.viewport_size["width"], outer["x"] + outer["width"])
    return inner["x"] + inner["width"] - edge


@pytest.mark.parametrize("kind", ALONE)
def test_offline_the_last_column_is_visible(exported, kind):
    outputs, width = cell(exported, kind), exported.viewport_size["width"]
    assert exported.evaluate("document.documentElement.scrollWidth") <= width
    stage = outputs.locator("figure [role=img]")
    if kind == "film of charts" and width < 1280:  # it has words in it, and is moved sideways
        stage.locator("..").evaluate("e => (e.scrollLeft = 9999)")
        assert stage.locator("..").get_attribute("tabindex") == "0" and stage.bounding_box()["width"] == 576
    assert overhang(exported, outputs.bounding_box(), stage.bounding_box()) <= 0.5
    for part in outputs.locator("figure :is(label, input, output, span)").all():
        assert overhang(exported, outputs.bounding_box(), part.bounding_box()) <= 0
    slider = outputs.get_by_role("slider")
    assert slider.bounding_box()["height"] >= 44
    box = stage.bounding_box()
    slider.press("End")
    if kind == "film":
        assert outputs.locator("output").inner_text() == "t = 9, a label of many words"
        assert box["width"] / box["height"] == pytest.approx(24 * 4 / 56, rel=0.02)  # neither cut nor squeezed


def test_a_film_shows_the_whole_of_its_frame(exported):
    """Its last column is as it is in the frame, whatever the width of the screen."""
    film = cell(exported, "film")
    film.get_by_role("slider").press("Home")
    right, left = (
        film.locator("canvas").evaluate(
            "(canvas, x) => [...canvas.getContext('2d').getImageData(x, 0, 24, 28).data]", x
        )
        for x in (72, 0)
    )
    assert right == left and len(set(right)) > 10  # four times the same digit


@pytest.fixture(scope="module", params=WIDTHS)
def screen(lab, request):
    """JupyterLab at this width."""
    lab.set_viewport_size({"width": request.param, "height": 5000})
    lab.wait_for_timeout(500)
    yield lab


needs_widgets = pytest.mark.skipif(ipywidgets.__version__ < "8", reason="JupyterLab 4 shows no widgets of ipywidgets 7")


@needs_widgets
@pytest.mark.parametrize("kind", KINDS)
def test_in_jupyterlab_each_picture_is_there_once_and_in_words(screen, kind):
    outputs = cell(screen, kind)
    assert outputs.get_by_text(pages.CAPTIONS[kind]).is_visible()
    saved = outputs.locator(".jp-RenderedImage")
    if kind in MOVING:
        wait_for(lambda: not saved.is_visible(), 10, lambda: "the saved picture stands beside the living one")
    else:
        assert saved.is_visible()
    alt = {"chart": "Bars.", "pictures": "A row of digits.", "divider": "A digit and its negative."}.get(kind)
    if alt:
        assert outputs.get_by_role("img", name=alt).count() == 1  # what a screen reader hears


@needs_widgets
@pytest.mark.parametrize("kind", MOVING)
def test_in_jupyterlab_nothing_is_cut_off(screen, kind):
    outputs = cell(screen, kind)
    outer = outputs.locator(".jp-OutputArea-output").last.bounding_box()
    for part in outputs.locator("button, input:not([type=file]), select, output, canvas, figure [role=img]").all():
        scrolls = part.evaluate("e => !!e.closest('.dt-whole')")
        if part.is_visible() and not scrolls:
            assert overhang(screen, outer, part.bounding_box()) <= 0.5, part.evaluate("e => e.outerHTML.slice(0, 200)")


@needs_widgets
def test_in_jupyterlab_wide_charts_keep_their_size_and_move_sideways(screen):
    chart = cell(screen, "chart").locator("img")
    assert chart.bounding_box()["width"] > 600
    pictures = cell(screen, "pictures").locator("img").bounding_box()["width"]
    assert pictures > 600 if screen.viewport_size["width"] == 1280 else pictures < 400
    live = cell(screen, "explore").locator(".dt-live")
    assert live.get_attribute("tabindex") == "0" and live.locator("img").bounding_box()["width"] > 600


@needs_widgets
def test_explore_says_that_it_works_in_the_browser(lab):
    outputs = cell(lab, "explore")
    picture, status = outputs.locator(".dt-live img"), outputs.get_by_role("status")
    before = picture.get_attribute("src")
    lab.evaluate(
        """cell => new MutationObserver(() => (window.heard = (window.heard ?? "") + cell.innerText))
        .observe(cell, { subtree: true, childList: true, characterData: true })""",
        outputs.element_handle(),
    )
    outputs.locator(".noUi-handle").press("ArrowRight")
    wait_for(lambda: picture.get_attribute("src") != before, 60, lambda: "the picture did not change")
    assert "Drawing …" in lab.evaluate("window.heard") and status.inner_text() == ""
