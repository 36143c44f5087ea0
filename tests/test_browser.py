""" "Start here" in a real JupyterLab in a real browser: it runs, a slider is moved, and the picture changes.

Needs Chromium (Debian's package, or the path in $CHROMIUM) and playwright; skipped, with the reason, where they are not.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import ipywidgets
import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine; set CHROMIUM to its path")

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LESSON = "00_start_here.ipynb"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The lesson, opened and run from top to bottom."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copy(NOTEBOOKS / LESSON, home)
    with jupyterlab(home) as base, opened(base, LESSON) as page:
        run_all(page)
        yield page


def test_the_lesson_runs_without_an_error(page):
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def test_the_film_moves_without_a_kernel(page):
    film = page.locator(".dt-film").first
    film.scroll_into_view_if_needed()
    frame, slider = film.locator("canvas"), film.locator("input[type=range]")
    before = frame.evaluate("e => e.toDataURL()"), film.locator("output").inner_text()
    slider.press("End")
    after = frame.evaluate("e => e.toDataURL()"), film.locator("output").inner_text()
    assert before[0] != after[0] and before[1] != after[1] == "t = 0"
    slider.press("ArrowLeft")  # moves the slider, and not the notebook's cursor
    assert film.locator("output").inner_text() != "t = 0"


@pytest.mark.skipif(ipywidgets.__version__ < "8", reason="JupyterLab 4 shows no widgets of ipywidgets 7")
def test_a_slider_calls_the_model_and_the_picture_changes(page):
    live = page.locator(".jupyter-widgets.widget-vbox").first
    live.scroll_into_view_if_needed()
    picture, handle = live.locator("img"), live.locator(".noUi-handle").first
    readout = live.locator(".widget-readout").first
    before, value = picture.get_attribute("src"), int(readout.inner_text())
    handle.press("ArrowRight")
    wait_for(lambda: picture.get_attribute("src") != before, 60, lambda: "the picture did not change")
    assert int(readout.inner_text()) == value + 1


@contextmanager
def jupyterlab(home):
    """The address of a JupyterLab of our own over the folder `home`: no settings of the user's, a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    folders |= {"JUPYTER_RUNTIME_DIR": str(home / "run"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "spaces")}
    command = [sys.executable, "-m", "jupyter", "lab", "--allow-root", "--no-browser", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=lesson", f"--ServerApp.root_dir={home}"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with open(home / "log", "wb") as log:
        server = subprocess.Popen(command, env=os.environ | folders, stdout=log, stderr=subprocess.STDOUT)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{base}/api/status?token=lesson"), 90, lambda: (home / "log").read_text()[-2000:])
        yield base
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def opened(base, notebook):
    """A browser's page with the notebook open in JupyterLab and its kernel idle."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{base}/lab/tree/{notebook}?token=lesson&reset")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=90_000)
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for(timeout=90_000)
        yield page
        browser.close()


def run_all(page):
    """Every cell from top to bottom, and wait for the end."""
    status = page.locator("#jp-main-statusbar")
    press_run_all(page)
    status.get_by_text("| Busy").wait_for(timeout=30_000)
    status.get_by_text("| Idle").wait_for(timeout=300_000)


def press_run_all(page):
    """The menu's "Run All Cells"."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def wait_for(happens, seconds, why):
    """Until happens() is true; after that many seconds, fail and say why."""
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            pytest.fail(why())
        time.sleep(0.2)


def answers(address):
    """Whether a server is there and content."""
    try:
        return urllib.request.urlopen(address, timeout=2).status == 200
    except OSError:
        return False
