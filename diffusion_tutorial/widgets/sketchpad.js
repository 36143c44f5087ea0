
const SIDE = 28; // MNIST's field
const BOX = 20; // and the longest side of a digit in it
const LOOK = 140; // a photo is looked at with so many pixels along its longer side

// The ink, (width x height) numbers from 0 to 1, as MNIST has its digits (LeCun et al. 1998, section III.A): in a box of
// 20 x 20, its centre of mass in the middle of 28 x 28. Each pixel is the mean of 8 x 8 points. Null where there is no ink.
function centred(ink, width, height) {
  let [left, right, top, bottom, mass, mx, my] = [width, 0, height, 0, 0, 0, 0];
  ink.forEach((value, i) => {
    if (!value) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x + 1), Math.min(top, y), Math.max(bottom, y + 1)];
    [mass, mx, my] = [mass + value, mx + value * (x + 0.5), my + value * (y + 0.5)];
  });
  if (!mass) return null;
  const step = Math.max(right - left, bottom - top) / BOX; // of the photo's pixels to one of ours
  const at = (centre, k) => Math.floor(centre + ((k + 0.5) / 8 - SIDE / 2) * step);
  const out = Array(SIDE * SIDE).fill(0);
  for (let k = 0; k < SIDE * 8; k++) {
    for (let l = 0; l < SIDE * 8; l++) {
      const [y, x] = [at(my / mass, k), at(mx / mass, l)];
      if (x < 0 || y < 0 || x >= width || y >= height) continue;
      out[Math.floor(k / 8) * SIDE + Math.floor(l / 8)] += ink[y * width + x];
    }
  }
  const brightest = Math.max(...out);
  return out.map((value) => Math.round((255 * value) / brightest));
}

// The mean over a square around each number, `reach` to every side. `along` goes one way: so many numbers, a step apart.
function smooth(values, width, height, reach) {
  const along = (input, length, step) =>
    input.map((_, i) => {
      const place = Math.floor(i / step) % length;
      let [sum, count] = [0, 0];
      for (let k = Math.max(0, place - reach); k <= Math.min(length - 1, place + reach); k++) {
        sum += input[i + (k - place) * step];
        count += 1;
      }
      return sum / count;
    });
  return along(along(values, width, 1), height, width);
}

// Only strokes, not specks: pieces that hang together, if they hold at least a tenth of the ink of the largest.
function withoutSpecks(ink, width) {
  const piece = ink.map(() => 0);
  const masses = [0];
  ink.forEach((value, start) => {
    if (!value || piece[start]) return;
    const todo = [start];
    const name = masses.push(0) - 1;
    piece[start] = name;
    while (todo.length) {
      const i = todo.pop();
      masses[name] += ink[i];
      for (const dy of [-width, 0, width]) {
        for (const dx of [-1, 0, 1]) {
          const j = i + dy + dx;
          if (Math.abs((j % width) - (i % width)) > 1 || !ink[j] || piece[j]) continue;
          piece[j] = name;
          todo.push(j);
        }
      }
    }
  });
  const largest = Math.max(...masses);
  return ink.map((value, i) => (masses[piece[i]] >= largest / 10 ? value : 0));
}

// How bright each point is, 0..255. What is transparent is background: as bright as the edge, or where most of the edge
// is transparent as well, black under light strokes and white under dark ones.
function greyOf(data, width, height) {
  const light = Array.from({ length: width * height }, (_, i) =>
    0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  const alpha = light.map((_, i) => data[4 * i + 3] / 255);
  const mean = (places) => {
    const weight = places.reduce((sum, i) => sum + alpha[i], 0);
    return [places.reduce((sum, i) => sum + alpha[i] * light[i], 0) / (weight || 1), weight / places.length];
  };
  const all = [...light.keys()];
  const inside = (i) => i % width && (i + 1) % width && i >= width && i < width * (height - 1);
  const [edge, share] = mean(all.filter((i) => !inside(i)));
  const ground = share > 0.5 ? edge : mean(all)[0] > 127.5 ? 0 : 255;
  return light.map((value, i) => alpha[i] * value + (1 - alpha[i]) * ground);
}

// A photo as a digit of MNIST's: grey, inverted where most of it, the paper, is light, freed of shadows by taking the
// mean of the surroundings away, its contrast stretched, the digit cut out and centred.
function digitOf(photo) {
  const zoom = LOOK / Math.max(photo.width, photo.height);
  const [width, height] = [photo.width, photo.height].map((side) => Math.max(1, Math.round(side * zoom)));
  const context = node("canvas", { width, height }).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, 0, 0, width, height);
  const grey = greyOf(context.getImageData(0, 0, width, height).data, width, height);
  const sorted = [...grey].sort((a, b) => a - b);
  const paperIsLight = sorted[sorted.length >> 1] > (sorted[0] + sorted.at(-1)) / 2;
  const mean = smooth(grey, width, height, LOOK / 4);
  const above = grey.map((value, i) => Math.max(0, paperIsLight ? mean[i] - value : value - mean[i]));
  const strongest = above.reduce((a, b) => Math.max(a, b));
  if (strongest < 30) return null; // of 255: no more than the grain of the paper
  const ink = above.map((value) => Math.min(1, Math.max(0, (value / strongest - 0.3) / 0.4)));
  return centred(withoutSpecks(ink, width), width, height);
}

function render({ model, el }) {
  const file = node("input", { type: "file", accept: "image/*" });
  board({ model, el }, {
    send: "Send",
    describe: (pixels) => `Drawn: ${extent(pixels, SIDE)}.`,
    paint(context, pixels) {
      const scale = model.get("scale");
      pixels.forEach((value, i) => {
        context.fillStyle = `rgb(${value} ${value} ${value})`;
        context.fillRect((i % SIDE) * scale, Math.floor(i / SIDE) * scale, scale, scale);
      });
    },
    // a soft pen: full within 0.8 of a pixel of its line, fading over one more; the rubber is twice as wide
    touch(old, distance, rub) {
      const strength = Math.round(255 * Math.min(1, Math.max(0, (rub ? 2.6 : 1.8) - distance)));
      return rub ? Math.min(old, 255 - strength) : Math.max(old, strength);
    },
    tools(put, say) {
      file.addEventListener("click", () => (file.value = "")); // so that the same file can be chosen again
      file.addEventListener("change", async () => {
        const [chosen] = file.files;
        if (!chosen) return;
        let photo;
        try {
          photo = await createImageBitmap(chosen);
        } catch {
          return say(`${chosen.name} is no picture that your browser can read: choose a photo, such as a .jpg or a .png.`);
        }
        const digit = digitOf(photo);
        if (!digit) return say(`There is no ink to be seen in ${chosen.name}: choose a photo of one digit on plain paper.`);
        put(digit);
        say(`Your digit, cut out and centred. Press "Send" to see the answer.`);
      });
      const centre = button("Centre", () => put(centred(model.get("pixels"), SIDE, SIDE) ?? model.get("pixels")));
      centre.title = "Make the digit as large as MNIST's are, and put it in the middle";
      return [centre, node("label", {}, "or a photo of a digit", file)];
    },
  });
}

export default { render };
