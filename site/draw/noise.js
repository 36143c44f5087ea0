// Fresh Gaussian noise that belongs to a seed: the same static for the same seed in every browser, if not torch's or numpy's.

// A stream of evenly spread numbers in (0, 1): sfc32 by Chris Doty-Humphrey, 128 bits of state, stirred before the first is used.
function uniform(seed) {
  let [a, b, c, count] = [0x9e3779b9, 0x243f6a88, seed >>> 0, 1];
  const next = () => {
    const out = (((a + b) | 0) + count) | 0;
    count = (count + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + out) | 0;
    return ((out >>> 0) + 0.5) / 2 ** 32;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

// noise() -> Float32Array(n), standard Gaussian, two numbers from two (Box & Muller 1958).
export function streams(seed, n = 784) {
  const next = uniform(seed);
  return () => {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(next()));
      const angle = 2 * Math.PI * next();
      out[i] = radius * Math.cos(angle);
      if (i + 1 < n) out[i + 1] = radius * Math.sin(angle);
    }
    return out;
  };
}
