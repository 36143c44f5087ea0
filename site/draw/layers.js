// The layers of the network. Each has an array for what it answers, which the next call overwrites.
//
// Features are stored place after place, x[place * channels + c], so that a convolution is a product of matrices: a row for each
// place, the numbers that it sees; a column for each feature, its weights. The package's torch stores channel after channel.

import { pack, up } from "./kernel.js";

// x / (1 + e^-x) of each number, in place.
export function silu(x) {
  for (let i = 0; i < x.length; i++) x[i] /= 1 + Math.exp(-x[i]);
  return x;
}

// A convolution of 3 x 3 with a margin of zeros, or of 1 x 1.
export class Conv {
  constructor(kernel, weights, name, side, stride = 1) {
    const { data, shape } = weights[`${name}.weight`];
    const [m, c, r] = shape;
    Object.assign(this, { kernel, side, stride, c, r, k: r * r * c, m: up(m, 8), out: side / stride });
    const B = new Float32Array(this.k * m); // (m, c, r, r) as (r, r, c, m)
    for (let j = 0; j < m; j++) {
      for (let i = 0; i < c; i++) {
        for (let at = 0; at < r * r; at++) B[(at * c + i) * m + j] = data[(j * c + i) * r * r + at];
      }
    }
    this.B = pack(B, this.k, m, kernel.floats(this.k * this.m));
    this.bias = kernel.floats(this.m);
    this.bias.set(weights[`${name}.bias`].data);
    this.n = up(this.out * this.out, 4);
    this.y = kernel.floats(this.n * this.m);
    if (r > 1) this.seen = kernel.floats(this.n * this.k);
  }

  forward(x) {
    const { kernel, B, bias, y, n, k, m } = this;
    kernel.matmul(this.r > 1 ? this.look(x) : x, B, bias, y, n, k, m);
    return y;
  }

  // What each place sees: its 3 x 3 neighbourhood as one row.
  look(x) {
    const { side, stride, c, out, seen } = this;
    let to = 0;
    for (let row = 0; row < out; row++) {
      for (let column = 0; column < out; column++) {
        for (let dy = -1; dy <= 1; dy++) {
          const from = row * stride + dy;
          for (let dx = -1; dx <= 1; dx++, to += c) {
            const at = column * stride + dx;
            if (from >= 0 && from < side && at >= 0 && at < side) {
              const start = (from * side + at) * c;
              for (let i = 0; i < c; i++) seen[to + i] = x[start + i];
            } else {
              for (let i = 0; i < c; i++) seen[to + i] = 0;
            }
          }
        }
      }
    }
    return seen;
  }
}

// Ax + b for one row of numbers.
export class Linear {
  constructor(weights, name) {
    this.A = weights[`${name}.weight`].data;
    this.b = weights[`${name}.bias`].data;
  }

  forward(x) {
    const { A, b } = this;
    const y = new Float32Array(b.length);
    for (let i = 0, at = 0; i < y.length; i++) {
      let sum = b[i];
      for (let j = 0; j < x.length; j++, at++) sum += A[at] * x[j];
      y[i] = sum;
    }
    return y;
  }
}

// (x - mean) / sqrt(var + 1e-5) weight + bias, over all places and the channels of one of 8 groups  (Wu & He 2018).
export class GroupNorm {
  constructor(kernel, weights, name, places) {
    this.weight = weights[`${name}.weight`].data;
    this.bias = weights[`${name}.bias`].data;
    this.places = places;
    this.y = kernel.floats(up(places, 4) * this.weight.length);
  }

  forward(x) {
    const { weight, bias, places, y } = this;
    const c = weight.length;
    const wide = c / 8;
    for (let first = 0; first < c; first += wide) {
      let sum = 0;
      let squares = 0;
      for (let place = 0; place < places; place++) {
        for (let i = place * c + first, end = i + wide; i < end; i++) {
          sum += x[i];
          squares += x[i] * x[i];
        }
      }
      const mean = sum / (places * wide);
      const scale = 1 / Math.sqrt(squares / (places * wide) - mean * mean + 1e-5);
      for (let place = 0; place < places; place++) {
        for (let j = first; j < first + wide; j++) {
          y[place * c + j] = (x[place * c + j] - mean) * scale * weight[j] + bias[j];
        }
      }
    }
    return y;
  }
}

// x + what two convolutions make of it, with the time and the label scaling and shifting the features between.
export class ResBlock {
  constructor(kernel, weights, name, side) {
    this.norm1 = new GroupNorm(kernel, weights, `${name}.norm1`, side * side);
    this.conv1 = new Conv(kernel, weights, `${name}.conv1`, side);
    this.film = new Linear(weights, `${name}.film`);
    this.norm2 = new GroupNorm(kernel, weights, `${name}.norm2`, side * side);
    this.conv2 = new Conv(kernel, weights, `${name}.conv2`, side);
    this.skip = `${name}.skip.weight` in weights ? new Conv(kernel, weights, `${name}.skip`, side) : null;
    this.length = side * side * this.conv1.m;
  }

  forward(x, emb) {
    const film = this.film.forward(emb); // scale, then shift
    const c = this.conv1.m;
    const h = this.norm2.forward(this.conv1.forward(silu(this.norm1.forward(x))));
    for (let i = 0; i < this.length; i += c) {
      for (let j = 0; j < c; j++) h[i + j] = h[i + j] * (1 + film[j]) + film[c + j];
    }
    const y = this.conv2.forward(silu(h));
    const skip = this.skip ? this.skip.forward(x) : x;
    for (let i = 0; i < this.length; i++) y[i] += skip[i];
    return y;
  }
}

// Every place looks at every other: softmax(q k^T / sqrt(d)) v  (Vaswani et al. 2017, eq. 1), added to x.
export class Attention {
  constructor(kernel, weights, name, side, heads = 4) {
    Object.assign(this, { n: side * side, heads });
    this.norm = new GroupNorm(kernel, weights, `${name}.norm`, this.n);
    this.qkv = new Conv(kernel, weights, `${name}.qkv`, side);
    this.out = new Conv(kernel, weights, `${name}.out`, side);
    this.mixed = kernel.floats(this.out.n * this.out.k);
  }

  forward(x) {
    const qkv = this.qkv.forward(this.norm.forward(x));
    this.mixed.fill(0);
    for (let head = 0; head < this.heads; head++) this.attend(qkv, head);
    const y = this.out.forward(this.mixed);
    for (let i = 0; i < this.n * this.out.m; i++) y[i] += x[i];
    return y;
  }

  attend(qkv, head) {
    const { n, mixed } = this;
    const c = this.out.k;
    const d = c / this.heads;
    const share = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const q = 3 * c * i + head * d;
      let sum = 0;
      for (let j = 0; j < n; j++) {
        const k = 3 * c * j + c + head * d;
        let dot = 0;
        for (let l = 0; l < d; l++) dot += qkv[q + l] * qkv[k + l];
        share[j] = Math.exp(dot / Math.sqrt(d));
        sum += share[j];
      }
      const to = c * i + head * d;
      for (let j = 0; j < n; j++) {
        const v = 3 * c * j + 2 * c + head * d;
        const part = share[j] / sum;
        for (let l = 0; l < d; l++) mixed[to + l] += part * qkv[v + l];
      }
    }
  }
}
