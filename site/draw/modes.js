// What the visitor can do: for each mode its words and the settings that it begins with.

// Points on an arc around (x, y), between two angles in degrees.
const arc = (x, y, r, from, to) =>
  Array.from({ length: 13 }, (_, i) => {
    const angle = ((from + ((to - from) * i) / 12) * Math.PI) / 180;
    return [x + r * Math.cos(angle), y + r * Math.sin(angle)];
  });

// What is on the pad to begin with: half a digit that could be several, by the half that is missing.
const HALVES = {
  bottom: arc(14, 10, 4.2, -160, 40).concat([[16.5, 13]]),
  top: arc(14, 18, 4.5, -30, 160),
  right: arc(15, 14, 6.5, -110, -250),
  left: arc(12.5, 14, 6.5, -80, 80),
};

const one = (what) => what.replace(/^(an?|any) /, "");

const WALK = { label: 3, seed: 6, model: "digits", sampler: "dpm++", steps: 20, w: 1.5 };

export const MODES = {
  draw: {
    name: "Draw",
    lead: "Pick a digit. It starts as static; each step takes a little of the noise away.",
    knobs: ["seed", "steps", "w", "sampler"],
    first: (what) => `Draw ${what}`,
    again: (what) => `Draw another ${one(what)}`,
    doing: (what) => `Drawing ${what} out of static …`,
    settings: { ...WALK },
  },
  jump: {
    name: "Jump",
    lead: "A second network has learnt from the first to do it in one call: from static to a digit, with nothing between.",
    knobs: ["seed", "steps"],
    first: (what) => `Jump to ${what}`,
    again: (what) => `Jump to another ${one(what)}`,
    doing: (what) => `Jumping to ${what} …`,
    settings: { ...WALK, model: "digits-jump", sampler: "jump", steps: 1, w: 1 },
  },
  complete: {
    name: "Complete",
    lead: "Draw half a digit. The network adds the other half; your half stays exactly as it is.",
    knobs: ["seed", "steps", "w", "sampler", "resample"],
    pad: ({ missing }) => HALVES[missing],
    first: (what) => (what === "any digit" ? "Complete it" : `Complete it as ${what}`),
    again: () => "Complete it another way",
    doing: () => "Completing your drawing …",
    settings: { ...WALK, label: null, sampler: "ddpm", missing: "bottom", resample: 3 },
  },
  apart: {
    name: "Pull apart",
    lead: "Draw a digit. It is pulled apart by noise, and the network puts together what it believes was there.",
    knobs: ["seed", "steps", "w", "sampler"],
    pad: () => [[8.5, 7.5], [19, 7.2], [16, 13], [13, 21.5]], // a seven
    first: () => "Pull it apart and back",
    again: () => "Again, with other noise",
    doing: () => "Pulling your drawing apart, and back …",
    settings: { ...WALK, label: null, start: 600 },
  },
};

// A label as one says it: "a 3", "an 8", "any digit".
export const said = (label) => (label === null ? "any digit" : `${label === 8 ? "an" : "a"} ${label}`);

// Where to fill: 1 for each pixel of the half that is missing.
export const HOLES = {
  bottom: (x, y) => y >= 14,
  top: (x, y) => y < 14,
  right: (x) => x >= 14,
  left: (x) => x < 14,
};

export const holeOf = (missing) =>
  Uint8Array.from({ length: 784 }, (_, i) => Number(HOLES[missing](i % 28, Math.floor(i / 28))));

export const STEPS = [1, 2, 3, 4, 5, 8, 10, 15, 20, 30, 50, 100, 200, 500, 1000];
export const SAMPLERS = { "dpm++": "DPM-Solver++ (2M)", ddim: "DDIM", ddpm: "ancestral (DDPM)" };
