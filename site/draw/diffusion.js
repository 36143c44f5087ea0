// The mathematics: the package's schedules, predictions, guidance, samplers and editing, by the same names, for one picture at a time.
//
// A picture is a Float32Array in [-1, 1]. alpha_bar has an entry for every t from 0 (the clean picture) to T (static). The equations
// are derived in the lessons from "Dissolve a picture" to "Jump after all".

// a x + b y for each pixel: almost every equation below is one of these.
const mix = (a, x, b, y) => x.map((value, i) => a * value + b * y[i]);

const { sqrt, log, expm1, max, min, round } = Math;

// Predictions ("Ask the question well")

// x0_hat = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v_hat  (Salimans & Ho 2022, section 4)
export const x0_from_v = (x_t, v, t, alpha_bar) => mix(sqrt(alpha_bar[t]), x_t, -sqrt(1 - alpha_bar[t]), v);

// eps_hat = (x_t - sqrt(alpha_bar_t) x0_hat) / sqrt(1 - alpha_bar_t)
export function eps_from_x0(x_t, x0, t, alpha_bar) {
  const sigma = sqrt(1 - alpha_bar[t]);
  return mix(1 / sigma, x_t, -sqrt(alpha_bar[t]) / sigma, x0);
}

// x0_hat cut to [-clip, clip], and the eps_hat that says the same.
export function cut(x0_hat, x_t, t, alpha_bar, clip = 1) {
  const x0 = x0_hat.map((value) => max(-clip, min(clip, value)));
  return { x0_hat: x0, eps_hat: eps_from_x0(x_t, x0, t, alpha_bar) };
}

// A network that answers v as a denoiser: denoiser(x_t, t, cond) -> x0_hat, not yet cut.
export const denoiser = (net, alpha_bar) => (x_t, t, cond) => x0_from_v(x_t, net.forward(x_t, t, cond), t, alpha_bar);

// Guidance ("Ask for what you want")

// x0_uncond + w (x0_cond - x0_uncond)  (Ho & Salimans 2022): x0_hat is linear in eps_hat, so this guides eps_hat alike. With w = 1, or
// nothing asked for, one call is enough.
export function guide(denoiser, w) {
  return (x_t, t, cond) => {
    if (w === 1 || cond === null) return denoiser(x_t, t, cond);
    return mix(w, denoiser(x_t, t, cond), 1 - w, denoiser(x_t, t, null));
  };
}

// The way to static ("Dissolve a picture")

// x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps  (Ho et al. 2020, eq. 4)
export const q_sample = (x0, t, eps, alpha_bar) => mix(sqrt(alpha_bar[t]), x0, sqrt(1 - alpha_bar[t]), eps);

// x_t = sqrt(a) x_s + sqrt(1 - a) noise, a = alpha_bar_t / alpha_bar_s: from s forward to t, all steps at once.
export function renoise(x_s, s, t, noise, alpha_bar) {
  const a = alpha_bar[t] / alpha_bar[s];
  return mix(sqrt(a), x_s, sqrt(1 - a), noise);
}

// Steps back ("Walk back from static", "Take fewer, bigger steps"). A step gets a moment { x_t, x0_hat, eps_hat, t, s, alpha_bar,
// noise(), look(x, t) } and returns x_s.

// x_s ~ q(x_s | x_t, x0 = x0_hat)  (Ho et al. 2020, eq. 7, for any s < t)
export function ddpm_step({ x_t, x0_hat, t, s, alpha_bar, noise }) {
  const [a_t, a_s] = [alpha_bar[t], alpha_bar[s]];
  const alpha = a_t / a_s;
  const mean = mix((sqrt(a_s) * (1 - alpha)) / (1 - a_t), x0_hat, (sqrt(alpha) * (1 - a_s)) / (1 - a_t), x_t);
  return mix(1, mean, sqrt(((1 - alpha) * (1 - a_s)) / (1 - a_t)), noise());
}

// x_s = sqrt(alpha_bar_s) x0_hat + sqrt(1 - alpha_bar_s) eps_hat  (Song et al. 2020, eq. 12, eta = 0)
export const ddim_step = ({ x0_hat, eps_hat, s, alpha_bar }) => q_sample(x0_hat, s, eps_hat, alpha_bar);

// DPM-Solver++(2M)  (Lu et al. 2022, algorithm 2), with lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)), h = lambda_s - lambda_t:
// x_s = sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t)) x_t - sqrt(alpha_bar_s) (e^-h - 1) D,  D = x0_hat + h / (2 h_last) (x0_hat - x0_hat_last)
export function dpm_solver_pp() {
  let last = null; // { s, h, x0_hat } of the step before: each walk needs a step of its own
  return ({ x_t, x0_hat, t, s, alpha_bar }) => {
    const lambda = (t) => log(alpha_bar[t] / (1 - alpha_bar[t])) / 2;
    const h = lambda(s) - lambda(t);
    const back = last !== null && last.s === t && s > 0;
    const D = back ? mix(1 + h / (2 * last.h), x0_hat, -h / (2 * last.h), last.x0_hat) : x0_hat;
    last = { s, h, x0_hat };
    return mix(sqrt((1 - alpha_bar[s]) / (1 - alpha_bar[t])), x_t, -sqrt(alpha_bar[s]) * expm1(-h), D);
  };
}

// x_s = sqrt(alpha_bar_s) x0_hat + sqrt(1 - alpha_bar_s) noise  (Song et al. 2023, algorithm 1): for a model that jumps.
export const jump_step = ({ x0_hat, s, alpha_bar, noise }) => q_sample(x0_hat, s, noise(), alpha_bar);

export const STEPS = {
  "dpm++": dpm_solver_pp,
  ddim: () => ddim_step,
  ddpm: () => ddpm_step,
  jump: () => jump_step,
};

// n + 1 whole times from T down to 0, evenly; halves go to the even number, as torch rounds.
export function times(n, T = 1000) {
  return Array.from({ length: n + 1 }, (_, i) => {
    const t = (T * (n - i)) / n;
    return t % 1 === 0.5 ? 2 * round(t / 2) : round(t);
  });
}

// Walk x from times[0] to times[n]: yields { t, x, x0_hat } before the first step and after each; x0_hat is the guess that led there.
export function* sample(denoiser, x_T, times, alpha_bar, { cond = null, step, noise }) {
  const look = (x, t) => cut(denoiser(x, t, cond), x, t, alpha_bar);
  let x = x_T;
  yield { t: times[0], x, x0_hat: null };
  for (let i = 1; i < times.length; i++) {
    const [t, s] = [times[i - 1], times[i]];
    const guess = look(x, t);
    x = step({ x_t: x, ...guess, t, s, alpha_bar, noise, look });
    yield { t: s, x, x0_hat: guess.x0_hat };
  }
}

// Editing ("Fill in the missing part", "Change one thing, keep the rest")

// A step that keeps what is known: x_s = hole x_s + (1 - hole) q_sample(x0, s)  (Lugmayr et al. 2022, eq. 8). resample = 1 is plain
// replacement; more is RePaint: the step is taken so many times, with the noise put back between (algorithm 1).
export function inpaint_step(step, x0, hole, resample = 1) {
  return (m) => {
    for (let left = resample - 1; ; left--) {
      const filled = step(m);
      const known = q_sample(x0, m.s, m.noise(), m.alpha_bar);
      const x_s = filled.map((value, i) => (hole[i] ? value : known[i]));
      if (!left) return x_s;
      const x_t = renoise(x_s, m.s, m.t, m.noise(), m.alpha_bar);
      m = { ...m, x_t, ...m.look(x_t, m.t) };
    }
  };
}

// Where a picture is pulled apart to, and the times of the way back: x_t = q_sample(x0, start), then down to 0 (Meng et al. 2022).
// steps: for the whole way from T; of them the share start / T is taken, at least one.
export function sdedit(x0, start, steps, eps, alpha_bar) {
  const T = alpha_bar.length - 1;
  const n = min(start, max(1, round((start / T) * steps)));
  return { x_t: q_sample(x0, start, eps, alpha_bar), times: times(n, start) };
}
