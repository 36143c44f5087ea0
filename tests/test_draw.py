"""What draws in the reader's browser, in a real one: the numbers are the package's, and the component is everybody's.

Needs Chromium (Debian's package, or the path in $CHROMIUM) and playwright; skipped, with the reason, where they are not.
"""

import functools
import http.server
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest
import torch

from diffusion_tutorial import editing, guidance, pretrained, samplers
from diffusion_tutorial.files import BadFile

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine; set CHROMIUM to its path")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import draw_weights  # noqa: E402

MODELS = ["digits", "digits-jump"]
DRAWER = "document.querySelector('digit-drawer')"
WAIT = 90_000  # milliseconds, for a machine that has much else to do


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The address of a server of site/draw with its weights, and of a page with nothing on it."""
    folder = shutil.copytree(ROOT / "site" / "draw", tmp_path_factory.mktemp("site") / "draw")
    draw_weights.write(folder)
    (folder / "blank.html").write_text("<!doctype html><title>blank</title><link rel=icon href=data:,>")
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


# The numbers

SETUP = """async (names) => {
  const [diffusion, { kernel, plain }, { UNet }, { fetchWeights }, { cards }] = await Promise.all(
    ["diffusion", "kernel", "unet", "weights", "models"].map((name) => import(`/${name}.js`)));
  const kernels = { fast: kernel(), plain: plain() };
  const models = {};
  for (const { name, sha256 } of cards) {
    const { about, alpha_bar, net } = await fetchWeights(new URL(`/${name}.safetensors`, location), sha256);
    const nets = Object.entries(kernels).map(([kind, kernel]) => [kind, new UNet(kernel, net, about.net)]);
    models[name] = { alpha_bar, ...Object.fromEntries(nets) };
  }
  Object.assign(window, { diffusion, kernels, models });
  return Object.values(kernels).map(({ name }) => name);
}"""

WALK = """({ model, sampler, n, w, cond, noises, x0, hole, resample, start }) => {
  const { fast: net, alpha_bar } = models[model];
  const floats = noises.map((noise) => Float32Array.from(noise));
  const options = { cond, step: diffusion.STEPS[sampler](), noise: () => floats.shift() };
  const denoiser = diffusion.guide(diffusion.denoiser(net, alpha_bar), w);
  const calls = net.calls;
  let [x_T, times] = [options.noise(), diffusion.times(n)];
  if (start) ({ x_t: x_T, times } = diffusion.sdedit(Float32Array.from(x0), start, n, x_T, alpha_bar));
  if (hole) options.step = diffusion.inpaint_step(options.step, Float32Array.from(x0), hole, resample);
  const states = [...diffusion.sample(denoiser, x_T, times, alpha_bar, options)];
  return { x: [...states.at(-1).x], calls: net.calls - calls, left: floats.length };
}"""


@pytest.fixture(scope="module")
def lab(base, browser):
    """The blank page with the modules and both models loaded."""
    page = browser.new_page()
    page.goto(f"{base}/blank.html")
    assert page.evaluate(SETUP, MODELS) == ["WebAssembly", "JavaScript"]
    yield page
    page.close()


@pytest.fixture(scope="module")
def models():
    return {name: pretrained.denoiser(name) for name in MODELS}


@pytest.fixture
def noises(generator):
    """The numbers that the generator hands out, in their turn, as many as the longest walk here asks for."""
    return [torch.randn(1, 1, 28, 28, generator=generator) for _ in range(40)]


def flat(x):
    return x.flatten().tolist()


def apart(theirs, ours):
    """The largest difference."""
    return (torch.tensor(theirs) - ours.flatten()).abs().max().item()


@pytest.mark.parametrize("kind", ["fast", "plain"])
@pytest.mark.parametrize("name", MODELS)
def test_the_network_answers_as_in_torch(lab, models, noises, name, kind):
    asked = [(t, cond) for t in (1, 250, 497, 1000) for cond in (0, 7, None)]
    for t, cond in asked if kind == "fast" else asked[4:6]:
        label = None if cond is None else torch.tensor([cond])
        ours = models[name].answer(noises[0], torch.tensor([t]), label)
        theirs = lab.evaluate(
            "([name, kind, x, t, cond]) => [...models[name][kind].forward(Float32Array.from(x), t, cond)]",
            [name, kind, flat(noises[0]), t, cond],
        )
        assert ours.abs().max() > 0.5
        assert apart(theirs, ours) < 1e-4, (t, cond)


@pytest.mark.parametrize(
    "sampler, n, w, cond", [("ddim", 20, 1.5, 3), ("dpm++", 20, 1.0, None), ("ddpm", 8, 3.0, 8), ("dpm++", 4, 0.0, 5)]
)
def test_a_walk_is_the_packages(lab, models, noises, sampler, n, w, cond):
    model, generator = guidance.guide(models["digits"], w), torch.Generator().manual_seed(7)
    label = None if cond is None else torch.tensor([cond])
    x_T = torch.randn(1, 1, 28, 28, generator=generator)
    options = dict(cond=label, step=samplers.STEPS[sampler], generator=generator)
    ours = samplers.draw(model, x_T, samplers.times(n), model.alpha_bar, **options)
    walk = dict(model="digits", sampler=sampler, n=n, w=w, cond=cond, noises=[flat(x) for x in noises])
    theirs = lab.evaluate(WALK, walk)
    assert apart(theirs["x"], ours) < 1e-3
    assert theirs["calls"] == n * (1 if w == 1 or cond is None else 2)


@pytest.mark.parametrize("n", [1, 2])
def test_a_jump_takes_one_call(lab, models, noises, n):
    model, generator = models["digits-jump"], torch.Generator().manual_seed(7)
    x_T = torch.randn(1, 1, 28, 28, generator=generator)
    options = dict(cond=torch.tensor([6]), step=samplers.jump_step, generator=generator)
    ours = samplers.draw(model, x_T, samplers.times(n), model.alpha_bar, **options)
    walk = dict(model="digits-jump", sampler="jump", n=n, w=1, cond=6, noises=[flat(x) for x in noises[:4]])
    theirs = lab.evaluate(WALK, walk)
    assert apart(theirs["x"], ours) < 1e-3 and theirs["calls"] == n


@pytest.fixture(scope="module")
def digit():
    """A bright bar on black, as a picture (1, 1, 28, 28)."""
    x0 = torch.full((1, 1, 28, 28), -1.0)
    x0[..., 5:23, 12:15] = 1
    return x0


@pytest.mark.parametrize("sampler, resample", [("ddpm", 1), ("ddpm", 3), ("dpm++", 2)])
def test_inpainting_is_the_packages(lab, models, noises, digit, sampler, resample):
    hole = torch.zeros(28, 28, dtype=torch.bool)
    hole[14:] = True
    model, generator = models["digits"], torch.Generator().manual_seed(7)
    step, options = samplers.STEPS[sampler], dict(resample=resample, generator=generator)
    ours = editing.inpaint(model, digit, hole, samplers.times(4), model.alpha_bar, step=step, **options)
    walk = dict(model="digits", sampler=sampler, n=4, w=1, cond=None, resample=resample, x0=flat(digit))
    theirs = lab.evaluate(WALK, walk | dict(hole=hole.int().flatten().tolist(), noises=[flat(x) for x in noises]))
    assert apart(theirs["x"], ours) < 1e-3
    assert torch.equal(torch.tensor(theirs["x"]).view(28, 28)[:14], digit[0, 0, :14])


@pytest.mark.parametrize("start, n", [(600, 10), (50, 4)])
def test_pulling_apart_and_back_is_the_packages(lab, models, noises, digit, start, n):
    model, generator = models["digits"], torch.Generator().manual_seed(7)
    options = dict(steps=n, step=samplers.STEPS["dpm++"], generator=generator)
    ours = editing.sdedit(model, digit, start / 1000, model.alpha_bar, **options)
    walk = dict(model="digits", sampler="dpm++", n=n, w=1, cond=None, start=start, x0=flat(digit))
    theirs = lab.evaluate(WALK, walk | dict(noises=[flat(x) for x in noises[:1]]))
    assert apart(theirs["x"], ours) < 1e-3 and theirs["left"] == 0


def test_the_times_of_a_walk_are_the_packages(lab):
    for n, T in [(1, 1000), (3, 1000), (7, 1000), (16, 1000), (30, 1000), (999, 1000), (1000, 1000), (8, 50)]:
        assert lab.evaluate("([n, T]) => diffusion.times(n, T)", [n, T]) == samplers.times(n, T)


def test_the_static_is_standard_gaussian_and_belongs_to_its_seed(lab):
    draw = (
        "async (seeds) => { const { streams } = await import('/noise.js'); return seeds.map((s) => [...streams(s)()]) }"
    )
    x = torch.tensor(lab.evaluate(draw, [*range(50), 0]))
    assert torch.equal(x[0], x[50])
    assert abs(x[:50].mean()) < 0.02 and abs(x[:50].var() - 1) < 0.03
    assert 0.66 < (x[:50].abs() < 1).float().mean() < 0.705 and x.abs().max() > 3
    assert (x[:50].corrcoef() - torch.eye(50)).abs().max() < 0.2


# The component


class Visit:
    """A page with the component on it, and what was heard of it on the way."""

    def __init__(self, browser, base, path="index.html", before=None, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.page = self.context.new_page()
        self.errors, self.requests, self.expects_errors = [], [], False
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.context.on("request", lambda request: self.requests.append(request.url))
        if before:
            before(self.context)
        self.page.goto(f"{base}/{path}")
        self.page.locator("#primary").wait_for()

    def __getattr__(self, name):
        return getattr(self.page, name)

    def ends(self):
        """Until the walk that was asked for last is at its end and seen."""
        self.page.wait_for_function(f"{DRAWER}.film?.ended && {DRAWER}.said", timeout=WAIT)

    def choose(self, name, value):
        self.page.locator(f"[name={name}][value='{value}']").check(force=True)

    def says(self):
        return self.page.locator("#status").inner_text()

    def time(self):
        return self.page.locator("#time").inner_text()

    def last(self):
        """The walk's last picture."""
        return torch.tensor(self.page.evaluate(f"[...{DRAWER}.film.states.at(-1).x]")).view(28, 28)


@pytest.fixture
def visit(browser, base):
    """A function that opens the component in a browser's window of its own."""
    open_now = []

    def visit(**options):
        open_now.append(Visit(browser, base, **options))
        return open_now[-1]

    yield visit
    for each in open_now:
        each.context.close()
        assert each.errors == [] or each.expects_errors


def few_steps(page):
    """A shorter walk, without guidance, to be quick."""
    page.evaluate(
        f"Object.values({DRAWER}.all).forEach((s) => Object.assign(s, {{ steps: Math.min(s.steps, 4), w: 1 }}))"
    )


def test_it_draws_by_itself_from_this_host_alone_and_goes_on_without_a_network(visit, base):
    page = visit()
    page.ends()
    assert "There is your 3: 20 steps, 40 calls of the network" in page.says()
    page.wait_for_function("performance.getEntriesByName('digit-drawer: digit').length > 0")
    page.wait_for_function(f"{DRAWER}.loaded.ready === 'digits-jump'", timeout=WAIT)
    assert all(url.startswith((base, "data:")) for url in page.requests)
    served = {url.removeprefix(base + "/") for url in page.requests if url.startswith(base)}
    files = {path.name for path in (ROOT / "site" / "draw").iterdir() if path.suffix in (".js", ".css", ".html")}
    drawn_with = {"models.js", *(f"{name}.safetensors" for name in MODELS)}
    assert files | drawn_with == served  # nothing lies there unused
    sizes = [len(page.request.get(f"{base}/{name}").body()) for name in served]
    assert sum(sizes) < 4_000_000
    page.context.set_offline(True)
    few_steps(page)
    for mode in ("jump", "complete", "apart"):
        page.choose("mode", mode)
        page.ends()
    page.choose("label", 7)
    page.ends()
    assert "708,516 numbers" in page.locator("#print").inner_text()


def test_it_is_worked_by_keyboard(visit):
    page = visit(reduced_motion="reduce")
    few_steps(page)
    page.locator("[name=mode]:checked").focus()
    page.keyboard.press("Tab")  # from the modes to the digits
    page.keyboard.press("ArrowRight")
    assert page.locator("[name=label]:checked").get_attribute("value") == "4"
    page.locator("#primary").press("Enter")
    page.ends()
    assert "There is your 4" in page.says() and page.time() == "t = 0"
    page.locator("#scrubber").press("ArrowLeft")
    assert page.time() == "t = 250"
    page.locator("#scrubber").press("Home")
    assert page.time() == "t = 1000" and "t = 1000" in page.locator("#scrubber").get_attribute("aria-valuetext")
    page.locator("[name=mode]:checked").press("ArrowLeft")  # round to the last
    assert page.locator("[name=mode]:checked").get_attribute("value") == "apart"
    page.locator("#clear").press("Enter")
    assert page.locator("#primary").is_disabled()
    page.locator("#pad").focus()
    for key in ("Space", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert page.locator("#where").inner_text() == "row 18, column 15, inked"
    page.locator("#primary").press("Enter")
    page.ends()
    assert page.says().startswith("Done: 2 calls")


def test_with_reduced_motion_nothing_moves_by_itself(visit):
    page = visit(reduced_motion="reduce")
    page.wait_for_function(f"{DRAWER}.loaded", timeout=WAIT)
    page.wait_for_timeout(300)
    assert page.evaluate(f"{DRAWER}.asked") == 0 and page.says().startswith("This is static")
    page.evaluate(
        f"""window.seen = []; new MutationObserver(() => seen.push({DRAWER}.$("time").textContent))
        .observe({DRAWER}.$("time"), {{ childList: true, characterData: true, subtree: true }})"""
    )
    few_steps(page)
    page.locator("#primary").click()
    page.ends()
    assert set(page.evaluate("seen")) == {"t = 1000", "t = 0"}


def test_stop_scrub_go_on_and_change_the_seed(visit):
    page = visit()
    page.ends()
    first = page.last()
    few_steps(page)
    page.evaluate(f"{DRAWER}.change({{ steps: 100 }})")
    page.wait_for_function(f"{DRAWER}.film.at > 1", timeout=WAIT)
    page.locator("#toggle").click()
    assert page.locator("#toggle").inner_text() == "Go on" and page.says().startswith("Stopped at t = ")
    page.wait_for_timeout(200)
    count = page.evaluate(f"{DRAWER}.film.states.length")
    page.wait_for_timeout(300)
    assert page.evaluate(f"{DRAWER}.film.states.length") == count < 101
    page.locator("#toggle").click()
    page.ends()
    assert page.evaluate(f"{DRAWER}.film.states.length") == 101
    page.evaluate(f"{DRAWER}.change({{ steps: 20, w: 1.5 }})")
    page.ends()
    assert torch.equal(page.last(), first)  # the same static, the same digit
    few_steps(page)
    page.locator("#primary").click()
    page.ends()
    assert page.evaluate(f"{DRAWER}.settings.seed") == 7 and (page.last() - first).abs().max() > 0.5


def test_half_a_digit_is_completed_and_the_known_half_stays(visit):
    page = visit(reduced_motion="reduce")
    page.choose("mode", "complete")
    few_steps(page)
    picture = f"[...{DRAWER}.pad.picture]"
    examples = []
    for half in ("right", "bottom"):  # the example is one for the half that is there
        page.locator("#missing").select_option(half)
        examples.append(torch.tensor(page.evaluate(picture)).view(28, 28) > 0)
    assert examples[0][:, :14].any() and examples[1][:14].any() and not torch.equal(*examples)
    page.locator("#clear").click()
    box = page.locator("#pad").bounding_box()
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + side * 0.4, y + side * 0.25)
    page.mouse.down()
    page.mouse.move(x + side * 0.6, y + side * 0.25)
    page.mouse.up()
    page.locator("#primary").click()
    page.ends()
    drawn = torch.tensor(page.evaluate(picture)).view(28, 28)
    assert (drawn[5:9, 12:16] == 1).any() and torch.equal(page.last()[:14], drawn[:14])
    assert not torch.equal(page.last()[14:], drawn[14:])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_everything_fits_and_can_be_touched(visit, scheme):
    page = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, color_scheme=scheme)
    few_steps(page)
    page.locator("summary").tap()
    for mode in ("draw", "jump", "complete", "apart"):
        page.locator(f"label:has([value='{mode}'])").tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for control in page.locator("button, select, summary, input[type=range], label:has(.tile)").all():
            if control.is_visible():
                box = control.bounding_box()
                assert box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 360
    page.ends()


def test_the_pages_own_choice_of_light_or_dark_wins(visit):
    page = visit(reduced_motion="reduce", color_scheme="dark")
    colour = f"getComputedStyle({DRAWER}.shadowRoot.querySelector('section')).backgroundColor"
    dark = page.evaluate(colour)
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert page.evaluate(colour) == "rgb(255, 255, 255)" != dark
    page.evaluate("delete document.documentElement.dataset.theme")
    assert page.evaluate(colour) == dark


def test_a_second_one_on_the_page_begins_as_it_is_told(visit):
    page = visit(reduced_motion="reduce")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<digit-drawer mode=apart></digit-drawer>')")
    chosen = [page.locator("digit-drawer").nth(i).locator("[name=mode]:checked") for i in range(2)]
    assert [each.get_attribute("value") for each in chosen] == ["draw", "apart"]


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (dict(body=b"not these weights"), "digits.safetensors has the SHA-256"),
        (dict(status=404), "digits.safetensors could not be fetched (404)"),
    ],
)
def test_weights_that_are_not_the_cards_are_refused_in_a_sentence(visit, answer, sentence):
    def broken(context):
        context.route("**/digits.safetensors", lambda route: route.fulfill(**answer))

    page = visit(before=broken)
    page.expects_errors = "status" in answer  # the browser's own line about the 404
    page.wait_for_function(f"{DRAWER}.$('status').className === 'failed'", timeout=WAIT)
    assert sentence in page.says() and "load the page again" in page.says()


def test_weights_are_written_into_a_folder_that_is_there(tmp_path):
    written = draw_weights.write(tmp_path)
    assert {path.name for path in written} == {"digits.safetensors", "digits-jump.safetensors", "models.js"}
    with pytest.raises(BadFile, match="expected a folder with a copy of site/draw"):
        draw_weights.write(tmp_path / "nowhere")
