"""The website: built once from the saved outputs, read link by link, and looked at page by page in a real browser.

Needs npm (or what `make site` fetched by it), and for what the browser sees Chromium and playwright, as tests/test_browser.py
does; skipped, with the reason, where they are not.
"""

import functools
import html
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
import yaml
from nbformat.v4 import new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import generated  # noqa: E402
import order  # noqa: E402
import times  # noqa: E402
import web_lessons  # noqa: E402
import web_pages  # noqa: E402
import website  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 240_000  # milliseconds for a page on a busy machine
needs_npm = pytest.mark.skipif(
    not (shutil.which("npm") or website.MODULES.is_dir()),
    reason="no npm on this machine, which fetches MathJax and axe",
)
AXE = """([exclude, rules]) => axe.run({ exclude }, { resultTypes: ["violations"], preload: false, ...rules })
    .then(found => found.violations.map(v => `${v.id}: ${v.nodes[0].html}`))"""
# What axe looks at: everything in the light, and in the dark what differs, the contrast. Formulas have the colour of the text
# around them, and the colours of code are the same on every page, so these are looked at on one page alone: they are many.
LIGHT, DARK = (["mjx-container *"], {}), (["mjx-container", ".highlight"], {"runOnly": ["color-contrast"]})
SHOWN = """[...document.querySelectorAll('figure.shown')].map(figure =>
    [...figure.querySelectorAll(':scope .still img, :scope canvas, :scope .dt-divider [role=img]')]
        .filter(part => part.checkVisibility()).length)"""


class Page(HTMLParser):
    """The addresses that a page links or loads, the anchors that it has, and its text."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        loads = tag in ("img", "script", "source", "iframe", "link")
        address = found.get("src") or found.get("href")
        if address and not address.startswith("data:"):
            (self.loads if loads else self.links).append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the built pages; whatever Sphinx warns of is an error."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "tools" / "website.py"), "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True)
    if "npm ci did not finish" in result.stderr:
        pytest.skip("npm cannot fetch MathJax and axe here: no network, and they have not been fetched before")
    assert result.returncode == 0, result.stdout + result.stderr
    return out / "html"


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Page]:
    """Every page by its path, "docs/glossary.html"."""
    found = {path.relative_to(site).as_posix(): path for path in sorted(site.rglob("*.html"))}
    return {name: Page(path) for name, path in found.items() if not name.startswith("_static/")}


@needs_npm
class TestBuilt:
    def test_every_lesson_is_a_page_and_no_planned_one_is(self, pages):
        found = [name for name in pages if name.startswith("notebooks/")]
        assert found == [f"notebooks/{path.stem}.html" for path in order.lessons()]
        for name in found:
            assert f"<title>{order.number(name[13:-5])} · " in pages[name].source

    def test_every_link_and_anchor_leads_somewhere(self, site, pages):
        for name, page in pages.items():
            for link in page.links + page.loads:
                if re.match(r"[a-z]+:", link):
                    continue
                address, anchor = urldefrag(unquote(link.partition("?")[0] if "#" not in link else link))
                target = (site / name).parent / address.partition("?")[0] if address else site / name
                assert target.resolve().is_file(), f"{name}: {link}"
                if anchor and target.suffix == ".html":
                    there = target.resolve().relative_to(site.resolve()).as_posix()
                    assert anchor in pages[there].anchors, f"{name}: {link}"

    def test_no_page_loads_anything_from_elsewhere(self, pages):
        for name, page in pages.items():
            assert not [address for address in page.loads if re.match(r"(https?:)?//", address)], name

    def test_previous_and_next_follow_the_order(self, pages):
        stems = [path.stem for path in order.lessons()]
        for before, after in zip(stems, stems[1:]):
            (link,) = re.findall(r'class="right-next"\s+href="([^"]+)"', pages[f"notebooks/{before}.html"].source)
            assert link == f"{after}.html"

    @pytest.mark.parametrize("path", order.lessons(), ids=lambda path: path.stem)
    def test_figures_and_folded_cells_are_all_there(self, pages, path):
        source = html.unescape(pages[f"notebooks/{path.stem}.html"].source)
        saved = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        outputs = [output.get("data", {}) for cell in saved for output in cell.outputs]
        stills, alive = re.findall(r'<div class="still[^<]*<img [^>]*>', source), source.count('<p class="alive">')
        assert len(stills) == sum("image/png" in data for data in outputs)
        assert all(re.search(r'alt="[^"]+"', still) for still in stills)
        assert alive == sum(web_lessons.VIEW in data for data in outputs)
        for cell in saved:
            if cell.source.startswith(times.FOLDED):
                title = cell.source.splitlines()[0].removeprefix(times.FOLDED).strip()
                assert re.search(rf"<summary>\s*<p[^>]*>{re.escape(title)}</p>", source), title

    def test_a_lesson_says_where_it_runs(self, pages):
        for path in order.lessons():
            for address in generated.launch(path):
                assert (
                    f'<p class="launch">Run this lesson: <a href="{generated.launch(path)[0]}"'
                    in pages[f"notebooks/{path.stem}.html"].source
                    and address.replace("&", "&amp;") in pages[f"notebooks/{path.stem}.html"].source
                )

    def test_each_model_has_its_card_and_each_paper_its_line(self, pages):
        for card in (ROOT / "diffusion_tutorial" / "pretrained").glob("*.json"):
            assert f'id="{card.stem.replace("_", "-")}"' in pages["models.html"].source
        linked = {
            number for path in order.lessons() for number in re.findall(r"arxiv\.org/abs/([\d.]+)\)", path.read_text())
        }
        assert linked and linked == set(re.findall(r'arxiv\.org/abs/([\d.]+)"', pages["references.html"].source))


@pytest.fixture(scope="module")
def browser(site):
    """A page of Chromium that reaches this site and no other host, and the list of what went wrong in it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine; set CHROMIUM to its path")
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, playwright.sync_playwright() as play:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(base_url=f"http://127.0.0.1:{server.server_port}/")
        page.set_default_timeout(PATIENCE)
        wrong: list[str] = []
        page.route(
            lambda address: "127.0.0.1" not in address, lambda route: (wrong.append(route.request.url), route.abort())
        )
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        yield page, wrong
        chromium.close()
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and writes no line for each request."""

    def log_message(self, *args):
        pass


def opened(browser, name: str, width: int = 1280, theme: str = "light"):
    """The page of this name, at this width and in this theme, its films ready."""
    page, wrong = browser
    wrong.clear()
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)
    page.goto(name)
    page.add_style_tag(content="*, ::before, ::after { transition: none !important }")  # colours are there at once
    page.wait_for_function("[...document.querySelectorAll('figure[data-begun]')].every(film => film.dataset.ready)")
    return page


NAMES = ["index", "search", "install", "models", "references", "docs/glossary", "benchmarks/README"]
NAMES += [f"notebooks/{path.stem}" for path in order.lessons()]
WHOLE = NAMES[-1]  # a lesson on which axe looks at everything, in both themes
each_page = pytest.mark.parametrize("name", NAMES)


@needs_npm
class TestSeen:
    def test_these_are_all_pages(self, pages):
        assert {f"{name}.html" for name in NAMES} == set(pages)

    @each_page
    def test_a_page_is_whole_on_wide_and_narrow_screens_asks_nobody_and_axe_finds_nothing(self, browser, name):
        page = opened(browser, f"{name}.html")
        page.evaluate((website.MODULES / "axe-core" / "axe.min.js").read_text())
        for theme, asked in {"light": LIGHT, "dark": DARK}.items():
            page.emulate_media(color_scheme=theme)
            page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
            assert page.evaluate(AXE, [[], {}] if name == WHOLE else asked) == [], theme
        assert set(page.evaluate(SHOWN)) <= {1}, "a figure is shown twice, or not at all"
        for width in (1280, 420):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert browser[1] == []

    def test_the_front_page_leads_to_the_first_lesson_in_one_click(self, browser):
        page = opened(browser, "index.html")
        page.get_by_role("link", name="Start here", exact=True).first.click()
        page.wait_for_url(f"**/notebooks/{order.lessons()[0].stem}.html")
        assert page.locator("article h1").inner_text().startswith("0 · Start here")

    def test_a_film_is_moved_by_keyboard_and_says_where_it_is(self, browser):
        page = opened(browser, f"notebooks/{order.lessons()[0].stem}.html")
        film = page.locator(".dt-film").first
        slider, frame = film.get_by_role("slider"), film.get_by_role("img")
        before = slider.get_attribute("aria-valuetext"), frame.evaluate("canvas => canvas.toDataURL()")
        slider.press("End")
        after = slider.get_attribute("aria-valuetext"), frame.evaluate("canvas => canvas.toDataURL()")
        assert before[0] != after[0] and before[1] != after[1]
        assert film.get_by_role("status").inner_text() == after[0]  # an <output>, which is read out

    def test_formulas_are_set_in_quizzes_too(self, browser):
        page = opened(browser, f"notebooks/{order.file('walk_a_markov_chain').removesuffix('.ipynb')}.html")
        page.wait_for_function("document.querySelectorAll('details mjx-container').length > 0")
        assert "\\(" not in page.locator("main").inner_text()

    def test_search_finds_a_lesson_without_a_network(self, browser):
        page = opened(browser, "search.html?q=ancestral")
        page.locator("#search-results li a").first.wait_for()
        assert "Walk back from static" in page.locator("#search-results").inner_text()


class TestTools:
    def test_without_npm_the_build_says_what_to_install(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "package-lock.json").write_text((website.SITE / "package-lock.json").read_text())
        monkeypatch.setattr(website, "SITE", tmp_path)
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(RuntimeError, match="expected npm, .* got none: install Node.js"):
            website.fetch()

    def test_what_comes_from_npm_is_pinned_and_has_its_checksum(self):
        package, lock = (yaml.safe_load((website.SITE / f"package{kind}.json").read_text()) for kind in ("", "-lock"))
        asked = package["dependencies"] | package["devDependencies"]
        for name, entry in lock["packages"].items():
            if name:
                assert entry["integrity"].startswith("sha512-") and "resolved" not in entry
                assert asked.pop(name.removeprefix("node_modules/")) == entry["version"]
        assert not asked

    def test_a_paper_without_author_and_title_is_named(self):
        said = new_notebook(cells=[new_markdown_cell("See [arXiv 2006.11239](https://arxiv.org/abs/2006.11239).")])
        with pytest.raises(ValueError, match=r"missing for \['2006.11239'\]"):
            web_pages.references({order.lessons()[0]: said})

    def test_several_papers_in_one_line_are_told_apart(self):
        text = (
            "- Ho, Jain and Abbeel 2020, *DDPM*, [arXiv 2006.11239](x): a start. Wu and De la Torre 2022, *Cycle*\n"
            "(well), [arXiv 2210.05559](x); Song et al. 2020, *Implicit*, [arXiv 2010.02502](x)."
        )
        path = order.lessons()[0]
        found = web_pages.citations({path: new_notebook(cells=[new_markdown_cell(text)])})
        assert {paper: (who, title) for paper, (who, title, _) in found.items()} == {
            "2006.11239": ("Ho, Jain and Abbeel 2020", "DDPM"),
            "2210.05559": ("Wu and De la Torre 2022", "Cycle"),
            "2010.02502": ("Song et al. 2020", "Implicit"),
        }

    def test_links_to_files_that_are_no_pages_lead_to_the_repository(self):
        text = "[a](../CONTRIBUTING.md#how) [b](glossary.md) [c](https://a.org/b) [d](#here)"
        home = f"https://github.com/{order.HOME['repository']}/blob/{order.HOME['branch']}"
        expected = text.replace("../CONTRIBUTING.md", f"{home}/CONTRIBUTING.md")
        assert web_pages.at_home(text, "docs/x.md", {"docs/glossary.md"}) == expected

    def test_a_planned_lesson_is_named_and_not_linked(self, monkeypatch):
        monkeypatch.setattr(order, "lessons", lambda: [order.NOTEBOOKS / order.file("start_here")])
        text = f"[Start]({order.file('start_here')}), [Race]({order.file('race_a_gan')}#x)"
        assert web_lessons.without_planned(text) == f"[Start]({order.file('start_here')}), Race"

    def test_the_workflow_publishes_what_make_site_builds(self):
        workflow = yaml.safe_load((ROOT / ".github/workflows/site.yml").read_text())
        build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
        commands = [step.get("run") for step in build["steps"]]
        assert "make site" in commands and "pages: write" not in str(workflow["permissions"])
        (upload,) = [step for step in build["steps"] if "upload-pages-artifact" in step.get("uses", "")]
        assert upload["with"]["path"] == "site/_build/html"
        assert workflow["permissions"] == {"contents": "read"}
        assert publish["permissions"] == {"pages": "write", "id-token": "write"} and publish["needs"] == "build"
        makefile = (ROOT / "Makefile").read_text()
        assert re.search(r"^site: venv\n\t\$\(PY\) tools/website\.py$", makefile, re.M) and "make site " in makefile
