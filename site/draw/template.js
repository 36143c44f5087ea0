// The component's HTML. Everything in it is a native control, so that keyboard and screen reader know it.

import { HOLES, MODES, SAMPLERS, STEPS } from "./modes.js";

const tile = (name, value, text, more = "") =>
  `<label><input class="tile" type="radio" name="${name}" value="${value}" ${more}><span>${text}</span></label>`;
const option = ([value, text]) => `<option value="${value}">${text}</option>`;
const digits = [...Array(10).keys()].map((digit) => tile("label", digit, digit)).join("");
const modes = Object.entries(MODES).map(([value, { name }]) => tile("mode", value, name)).join("");
const halves = Object.keys(HOLES).map((half) => [half, `${half} half missing`]);

export const TEMPLATE = `
<section aria-label="Digits drawn by a diffusion model in your browser">
  <fieldset class="modes row"><legend>What to do</legend>${modes}</fieldset>
  <p id="lead"></p>
  <fieldset class="digits"><legend>Which digit</legend>${digits}${tile("label", "any", "any")}</fieldset>
  <div class="stage">
    <figure class="pad" hidden>
      <div class="field">
        <canvas id="pad" tabindex="0" role="application" aria-roledescription="drawing pad" aria-describedby="keys"></canvas>
        <div class="box"></div><div class="hole"><span>to be filled</span></div><div class="cursor" hidden></div>
      </div>
      <figcaption><b>Your drawing</b> Keep within the dashed box, as MNIST does.
        <span class="heard" id="keys">Arrows move, space draws, shift and an arrow draw along.</span></figcaption>
      <div class="tools">
        <button type="button" id="rubber" aria-pressed="false">Rub out</button>
        <button type="button" id="clear">Clear</button>
        <select id="missing" aria-label="Which half is missing">${halves.map(option).join("")}</select>
      </div>
      <p class="heard" id="where" aria-live="polite"></p>
    </figure>
    <figure>
      <div class="field"><canvas id="x_t" role="img"></canvas></div>
      <figcaption><b>x<sub>t</sub></b> <span id="x_t_says"></span></figcaption>
    </figure>
    <figure>
      <div class="field"><canvas id="x0_hat" role="img"></canvas><p id="no_guess">no guess yet</p></div>
      <figcaption><b>x̂<sub>0</sub></b> <span id="x0_hat_says"></span></figcaption>
    </figure>
  </div>
  <div class="scrub">
    <button type="button" id="toggle">Stop</button>
    <input type="range" id="scrubber" min="0" max="0" value="0" aria-label="Step of the walk">
    <output id="time" for="scrubber"></output>
  </div>
  <label class="knob" id="start_knob" for="start"><span>How far apart</span><output></output>
    <input type="range" id="start" min="50" max="1000" step="50"></label>
  <button type="button" id="primary"></button>
  <p role="status" id="status" aria-live="polite"></p>
  <details>
    <summary>Seed, steps, guidance</summary>
    <div class="knobs">
      <label class="knob" id="seed_knob" for="seed"><span>Seed of the static</span><input type="number" id="seed" min="0" max="4294967295" step="1"></label>
      <label class="knob" id="steps_knob" for="steps"><span>Steps</span><output></output>
        <input type="range" id="steps" min="0" max="${STEPS.length - 1}" step="1"></label>
      <label class="knob" id="w_knob" for="w"><span>Guidance w</span><output></output>
        <input type="range" id="w" min="0" max="6" step="0.5">
        <small>1: none. More: more clearly the digit that is asked for, and more alike. Nothing to guide by for “any”.</small></label>
      <label class="knob" id="sampler_knob" for="sampler"><span>Sampler</span>
        <select id="sampler">${Object.entries(SAMPLERS).map(option).join("")}</select></label>
      <label class="knob" id="resample_knob" for="resample"><span>Each step taken</span><output></output>
        <input type="range" id="resample" min="1" max="10" step="1">
        <small>Once: the known half is put back at every step. More often, with noise between: RePaint.</small></label>
    </div>
  </details>
  <p class="print" id="print"></p>
</section>`;
