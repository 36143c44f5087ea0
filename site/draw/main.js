// <digit-drawer>: two diffusion models that draw digits in the visitor's browser. Nothing is sent anywhere, and once the weights are
// here nothing more is fetched, so that it goes on without a network.
//
// <script type="module" src="draw/main.js"></script><digit-drawer mode="draw"></digit-drawer>
//
// mode: draw, jump, complete or apart. Colours follow the system, or the page's data-theme, light or dark.

import { Film } from "./film.js";
import { cards } from "./models.js";
import { MODES, STEPS, holeOf, said } from "./modes.js";
import { streams } from "./noise.js";
import { Pad, SIDE, paint } from "./pad.js";
import { TEMPLATE } from "./template.js";

const CSS = await (await fetch(new URL("style.css", import.meta.url))).text();
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

class DigitDrawer extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return;
    this.attachShadow({ mode: "open" }).innerHTML = `<style>${CSS}</style>${TEMPLATE}`;
    this.$ = (id) => this.shadowRoot.getElementById(id);
    this.all = Object.fromEntries(Object.entries(MODES).map(([name, mode]) => [name, { ...mode.settings }]));
    this.asked = 0; // how many walks have been asked for: the number of the newest is its id
    this.follow();
    this.listen();
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = () => this.fail("The worker that computes did not start. Load the page again, from a web server.");
    this.enter(this.getAttribute("mode") in MODES ? this.getAttribute("mode") : "draw");
  }

  disconnectedCallback() {
    this.film?.stop();
    this.worker?.postMessage({ stop: this.asked });
  }

  // The page's own choice between light and dark.
  follow() {
    const root = document.documentElement;
    const copy = () => {
      if (root.dataset.theme) this.dataset.theme = root.dataset.theme;
      else delete this.dataset.theme;
    };
    new MutationObserver(copy).observe(root, { attributeFilter: ["data-theme"] });
    copy();
  }

  // Controls

  listen() {
    const { $ } = this;
    const cursor = this.shadowRoot.querySelector(".cursor");
    this.pad = new Pad($("pad"), cursor, $("where"), () => this.fresh());
    $("primary").addEventListener("click", () => this.again());
    $("toggle").addEventListener("click", () => this.toggle());
    $("scrubber").addEventListener("input", () => this.film?.to(Number($("scrubber").value)));
    $("clear").addEventListener("click", () => {
      this.pad.clear();
      this.fresh();
    });
    $("rubber").addEventListener("click", () => {
      this.pad.rubbing = !this.pad.rubbing;
      $("rubber").setAttribute("aria-pressed", this.pad.rubbing);
    });
    this.radios("mode", (value) => this.enter(value));
    this.radios("label", (value) => this.change({ label: value === "any" ? null : Number(value) }));
    this.knob("seed", (value) => Math.min(2 ** 32 - 1, Math.max(0, Math.round(Number(value)))));
    this.knob("steps", (value) => STEPS[value]);
    for (const name of ["w", "resample", "start"]) this.knob(name, Number);
    for (const name of ["sampler", "missing"]) this.knob(name, String);
  }

  radios(name, chosen) {
    for (const input of this.shadowRoot.querySelectorAll(`[name=${name}]`)) {
      input.addEventListener("change", () => chosen(input.value));
    }
  }

  // While a slider is moved its number is told; the walk is taken again when it is let go.
  knob(name, read) {
    const input = this.$(name);
    input.addEventListener("input", () => {
      if (input.type !== "range") return;
      this.settings[name] = read(input.value);
      this.tell();
    });
    input.addEventListener("change", () => this.change({ [name]: read(input.value) }));
  }

  get settings() {
    return this.all[this.mode];
  }

  enter(mode) {
    const before = this.settings;
    this.mode = mode;
    if (before && !MODES[mode].pad) Object.assign(this.settings, { seed: before.seed, label: before.label ?? 3 });
    const { lead, pad } = MODES[mode];
    this.$("lead").textContent = lead;
    this.shadowRoot.querySelector(".pad").hidden = !pad;
    this.shadowRoot.querySelector(".stage").classList.toggle("three", Boolean(pad));
    this.touched = false;
    if (pad) this.pad.draw(pad(this.settings));
    this.drawn = false;
    this.tell();
    if (CALM.matches) this.wait();
    else this.begin();
  }

  change(settings) {
    Object.assign(this.settings, settings);
    if (settings.missing && !this.touched) this.pad.draw(MODES[this.mode].pad(this.settings));
    this.tell();
    if (this.drawn) this.begin();
    else if (!MODES[this.mode].pad) CALM.matches ? this.wait() : this.begin();
  }

  // Another drawing on the pad: nothing has been made of it yet.
  fresh() {
    this.touched = true;
    this.drawn = false;
    this.tell();
  }

  again() {
    if (this.drawn) this.settings.seed = (this.settings.seed + 1) % 2 ** 32;
    this.tell();
    this.begin();
  }

  // Every control as the settings are.
  tell() {
    const { $, settings } = this;
    const { knobs, first, again, pad } = MODES[this.mode];
    this.shadowRoot.querySelector(`[name=mode][value=${this.mode}]`).checked = true;
    this.shadowRoot.querySelector(`[name=label][value="${settings.label ?? "any"}"]`).checked = true;
    const values = { ...settings, steps: STEPS.indexOf(settings.steps) };
    for (const name of ["seed", "steps", "w", "sampler", "resample", "start", "missing"]) {
      if (settings[name] !== undefined) $(name).value = values[name];
      const knob = $(`${name}_knob`);
      if (knob) knob.hidden = !(knobs.includes(name) || (name === "start" && this.mode === "apart"));
    }
    const told = { steps: settings.steps, w: settings.w, resample: times(settings.resample), start: `t = ${settings.start}` };
    for (const [name, text] of Object.entries(told)) {
      $(`${name}_knob`).querySelector("output").textContent = text;
      $(name).setAttribute("aria-valuetext", text);
    }
    $("w").disabled = settings.label === null;
    $("missing").hidden = this.mode !== "complete";
    this.shadowRoot.querySelector(".hole").hidden = this.mode !== "complete";
    if (this.mode === "complete") this.cover(settings.missing);
    $("primary").textContent = (this.drawn ? again : first)(said(settings.label));
    $("primary").disabled = Boolean(pad) && this.pad.empty;
  }

  // The half of the pad that is missing, hidden.
  cover(missing) {
    const inset = { bottom: "50% 0 0 0", top: "0 0 50% 0", right: "0 0 0 50%", left: "0 50% 0 0" };
    this.shadowRoot.querySelector(".hole").style.inset = inset[missing];
  }

  // Walks

  begin() {
    const { settings } = this;
    const { pad, doing } = MODES[this.mode];
    if (pad && this.pad.empty) return this.say("The pad is empty: draw on it first.");
    this.drawn = true;
    this.film?.stop();
    const expected = settings.steps + (this.mode === "apart" ? 12 : 0);
    this.film = new Film({ show: (film) => this.show(film), calm: CALM.matches, expected });
    const walk = { id: ++this.asked, ...settings };
    if (pad) walk.x0 = this.pad.picture;
    if (this.mode === "complete") walk.hole = holeOf(settings.missing);
    this.worker.postMessage({ walk });
    this.wait(); // static needs no network: it is there at once
    this.$("primary").textContent = MODES[this.mode].again(said(settings.label));
    this.said = false;
    this.say(doing(said(settings.label)));
  }

  // Before a walk: what it will start from.
  wait() {
    if (!this.drawn) this.film = null;
    const { mode, settings } = this;
    const x = mode === "apart" ? this.pad.picture : streams(settings.seed)();
    this.look({ t: mode === "apart" ? 0 : 1000, x, up: mode === "apart" }, null);
    if (!this.drawn) this.say(mode === "draw" || mode === "jump" ? "This is static. Press the button to walk back from it." : "");
  }

  hear(data) {
    if (data.failed) this.fail(data.failed);
    if (data.ready) this.loaded = data;
    if (data.frame === this.asked) this.film.add(data.state);
    if (data.done === this.asked) {
      this.cost = data;
      this.film.finish();
    }
  }

  toggle() {
    const { film, asked } = this;
    if (!film) return this.again();
    if (film.playing) {
      film.stop();
      if (!film.done) this.say(`Stopped at t = ${film.state?.t ?? 1000}.`);
      this.worker.postMessage({ stop: asked });
    } else {
      film.play();
      this.worker.postMessage({ go: asked });
    }
  }

  // What is seen

  show(film) {
    if (film !== this.film || !film.state) return;
    this.look(film.state, film.guess);
    if (film.ended && !this.said) this.tellEnd();
  }

  look(state, guess) {
    const { $, film } = this;
    const { t } = state;
    paint($("x_t"), state.x);
    paint($("x0_hat"), guess);
    $("no_guess").hidden = guess !== null;
    $("no_guess").textContent = state.up ? "on the way up nothing is guessed" : "no guess yet";
    const where = state.up ? "your drawing, with noise up to" : t === 0 ? "the end of the walk," : "where the walk is,";
    $("x_t_says").textContent = `${where} t = ${t}`;
    $("x0_hat_says").textContent = guess ? "what the network believes is behind it" : "the network’s guess";
    $("x_t").setAttribute("aria-label", `x_t at t = ${t}, ${t === 0 ? "a digit" : t > 800 ? "static" : "a digit under noise"}`);
    $("x0_hat").setAttribute("aria-label", guess ? `x0_hat, the network's guess at t = ${t}` : "no guess yet");
    $("time").textContent = `t = ${t}`;
    const last = Math.max(0, film?.last ?? 0);
    Object.assign($("scrubber"), { max: last, value: film?.at ?? 0, disabled: last === 0 });
    $("scrubber").setAttribute("aria-valuetext", `picture ${(film?.at ?? 0) + 1} of ${last + 1}, t = ${t}`);
    $("toggle").textContent = !film ? "Play" : film.playing ? "Stop" : film.ended ? "Play again" : "Go on";
  }

  // What was drawn, and the small print: what that took.
  tellEnd() {
    this.said = true;
    performance.mark("digit-drawer: digit");
    const { calls, ms, products } = this.cost;
    const { label, model, steps } = this.settings;
    const { parameters, licence } = cards.find(({ name }) => name === model);
    const { checked, kernel, ready } = this.loaded;
    const what = MODES[this.mode].pad ? "Done" : `There is your ${label ?? "digit"}`;
    const walk = this.mode === "apart" ? "" : `${count(steps, "step")}, `;
    this.say(`${what}: ${walk}${count(calls, "call")} of the network, ${seconds(ms)}.`);
    this.$("print").textContent = [
      `What ran: ${model}, a network of ${parameters.toLocaleString("en")} numbers, ${large(products)} multiplications in ${kernel}, on this device.`,
      checked ? "Its SHA-256 is the one on its model card." : "",
      `Nothing you draw leaves the page${ready === cards.at(-1).name ? ", which needs no network any more" : ""}.`,
      `A seed means the same static in every browser, but not that of the Python package. ${licence}`,
    ].join(" ");
  }

  say(sentence) {
    this.$("status").textContent = sentence;
    this.$("status").className = "";
  }

  fail(sentence) {
    this.say(sentence);
    this.$("status").className = "failed";
  }
}

const times = (n) => (n === 1 ? "once" : n === 2 ? "twice" : `${n} times`);
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const large = (n) => (n < 1e9 ? `${Math.round(n / 1e6)} million` : `${(n / 1e9).toFixed(1)} billion`);
const seconds = (ms) => `${(ms / 1000).toPrecision(2)} s`;

customElements.define("digit-drawer", DigitDrawer);
