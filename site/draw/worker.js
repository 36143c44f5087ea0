// The worker: it reads the weights and walks, a step at a time, so that the page stays alive and can say stop.
//
// It hears { walk: {...} }, { stop } and { go }; it says { ready }, { frame }, { done } and { failed }.

import * as diffusion from "./diffusion.js";
import { kernel } from "./kernel.js";
import { cards } from "./models.js";
import { streams } from "./noise.js";
import { UNet } from "./unet.js";
import { fetchWeights } from "./weights.js";

const numbers = kernel();
const models = {}; // by name: a promise of { net, alpha_bar }
let walking = null; // { id, stopped, states, net, calls, products, ms }: the walk that is being taken
const UP = 12; // pictures of the way up to static

// One after the other: the first model is wanted at once, the second comes while the first draws.
let before = Promise.resolve();
for (const { name, sha256 } of cards) {
  before = models[name] = before.then(async () => {
    const { about, alpha_bar, net, checked } = await fetchWeights(new URL(`${name}.safetensors`, import.meta.url), sha256);
    postMessage({ ready: name, checked, kernel: numbers.name });
    return { net: new UNet(numbers, net, about.net), alpha_bar };
  });
  before.catch((problem) => postMessage({ failed: problem.message }));
}

onmessage = ({ data }) => {
  if (data.walk) begin(data.walk);
  else if (walking?.id === data.stop) walking.stopped = true;
  else if (walking?.id === data.go && walking.stopped) on(walking);
};

async function begin(asked) {
  const mine = (walking = { id: asked.id, stopped: false, calls: 0, products: 0, ms: 0 });
  const model = await models[asked.model].catch(() => null); // why there is none has been said
  if (!model || walking !== mine) return; // or something else has been asked for meanwhile
  Object.assign(mine, { net: model.net, states: walk(model, asked) });
  if (!mine.stopped) on(mine);
}

// The states of the walk that is asked for. x0: the picture to go out from; hole: where to fill it (1) and where not (0), or null: to
// pull it apart, as far as `start`.
function walk({ net, alpha_bar }, { seed, label, w, sampler, steps, x0, hole, resample, start }) {
  const noise = streams(seed);
  const denoiser = diffusion.guide(diffusion.denoiser(net, alpha_bar), w);
  const step = diffusion.STEPS[sampler]();
  const options = { cond: label, step, noise };
  if (x0 && !hole) return apart(denoiser, x0, start, steps, alpha_bar, options);
  if (hole) options.step = diffusion.inpaint_step(step, x0, hole, resample);
  return diffusion.sample(denoiser, noise(), diffusion.times(steps), alpha_bar, options);
}

// First up: the picture under more and more of one noise, which asks no network; then back.
function* apart(denoiser, x0, start, steps, alpha_bar, options) {
  const eps = options.noise();
  const { x_t, times } = diffusion.sdedit(x0, start, steps, eps, alpha_bar);
  const up = diffusion.times(UP, start).reverse().slice(0, -1);
  for (const t of up) yield { t, x: diffusion.q_sample(x0, t, eps, alpha_bar), x0_hat: null, up: true };
  yield* diffusion.sample(denoiser, x_t, times, alpha_bar, options);
}

async function on(mine) {
  mine.stopped = false;
  while (walking === mine && mine.states && !mine.stopped) {
    const began = performance.now();
    const [calls, products] = [mine.net.calls, numbers.products];
    const { value, done } = mine.states.next();
    mine.ms += performance.now() - began;
    mine.calls += mine.net.calls - calls;
    mine.products += numbers.products - products;
    if (done) return postMessage({ done: mine.id, calls: mine.calls, products: mine.products, ms: mine.ms });
    postMessage({ frame: mine.id, state: value });
    await breath();
  }
}

// Messages that wait are heard.
const { port1, port2 } = new MessageChannel();
let wake = () => {};
port1.onmessage = () => wake();
const breath = () =>
  new Promise((resolve) => {
    wake = resolve;
    port2.postMessage(null);
  });
