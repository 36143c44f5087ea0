// The network of the package (diffusion_tutorial/models/unet.py, "Build the network"): a small U-Net with a clock and a label.

import { up } from "./kernel.js";
import { Attention, Conv, GroupNorm, Linear, ResBlock, silu } from "./layers.js";

// t as a row of sines and cosines, from fast waves to slow ones  (Vaswani et al. 2017, section 3.5), in single precision as in torch.
function waves(t, dim, longest = 10_000) {
  const angle = Array.from({ length: dim / 2 }, (_, i) => {
    const freq = Math.fround(Math.exp(Math.fround((-Math.log(longest) * i) / (dim / 2))));
    return Math.fround(t * freq);
  });
  return Float32Array.of(...angle.map(Math.sin), ...angle.map(Math.cos));
}

// forward(x_t, t, cond) -> the network's raw answer v_hat. x_t: Float32Array(size * size), row after row. cond: a label, or null for
// "any", which is the label number `labels`. The answer is a new array.
export class UNet {
  constructor(kernel, weights, { width, labels, size }) {
    Object.assign(this, { width, labels, size, weights });
    const [half, quarter] = [size / 2, size / 4];
    const conv = (name, side, stride) => new Conv(kernel, weights, name, side, stride);
    const block = (name, side) => new ResBlock(kernel, weights, name, side);
    this.time = [new Linear(weights, "time.1"), new Linear(weights, "time.3")];
    this.stem = conv("stem", half);
    this.down = block("down", half);
    this.shrink = conv("shrink", half, 2);
    this.middle = [
      block("middle.0", quarter),
      new Attention(kernel, weights, "middle.1", quarter),
      block("middle.2", quarter),
    ];
    this.grow = conv("grow", quarter);
    this.up = block("up", half);
    this.out = { norm: new GroupNorm(kernel, weights, "out.0", half * half), conv: conv("out.2", half) };
    this.folded = kernel.floats(up(half * half, 4) * 8);
    this.both = kernel.floats(up(half * half, 4) * 2 * width);
    this.calls = 0;
  }

  forward(x_t, t, cond = null) {
    this.calls++;
    const label = cond ?? this.labels;
    const emb = this.embed(t, label);
    let h = this.stem.forward(this.fold(x_t, label));
    const skip = (h = this.down.forward(h, emb));
    h = this.shrink.forward(h);
    for (const layer of this.middle) h = layer.forward(h, emb);
    h = this.up.forward(this.join(this.grow.forward(h), skip), emb);
    return this.unfold(this.out.conv.forward(silu(this.out.norm.forward(h))));
  }

  // What all blocks are told: the time and the label.
  embed(t, label) {
    const [first, second] = this.time;
    const time = second.forward(silu(first.forward(waves(t, 2 * this.width))));
    const row = this.weights["label.weight"].data.subarray(label * time.length);
    return silu(time.map((value, i) => value + row[i]));
  }

  // x_t and the label's sketch beside it, 28 x 28 folded into 14 x 14 places of 2 x 4 numbers (torch's pixel_unshuffle).
  fold(x_t, label) {
    const { size, folded } = this;
    const sketch = this.weights["sketch.weight"].data.subarray(label * size * size);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const to = this.place(y, x) * 8 + (y % 2) * 2 + (x % 2);
        folded[to] = x_t[y * size + x];
        folded[to + 4] = sketch[y * size + x];
      }
    }
    return folded;
  }

  // And back (pixel_shuffle). The convolution before has room for 8 numbers a place, of which 4 are used.
  unfold(h) {
    const { size } = this;
    const out = new Float32Array(size * size);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        out[y * size + x] = h[this.place(y, x) * this.out.conv.m + (y % 2) * 2 + (x % 2)];
      }
    }
    return out;
  }

  place(y, x) {
    return (y >> 1) * (this.size / 2) + (x >> 1);
  }

  // What came from 7 x 7 places, each repeated to 2 x 2, and the skip beside it.
  join(h, skip) {
    const { width, both } = this;
    const half = this.size / 2;
    for (let y = 0, place = 0; y < half; y++) {
      for (let x = 0; x < half; x++, place++) {
        const from = ((y >> 1) * (half / 2) + (x >> 1)) * width;
        const to = place * 2 * width;
        for (let i = 0; i < width; i++) {
          both[to + i] = h[from + i];
          both[to + width + i] = skip[place * width + i];
        }
      }
    }
    return both;
  }
}
