
const HOLES = {
  "left half": (x) => x < 0.5,
  "right half": (x) => x >= 0.5,
  "upper half": (x, y) => y < 0.5,
  "lower half": (x, y) => y >= 0.5,
  middle: (x, y) => Math.abs(x - 0.5) < 0.25 && Math.abs(y - 0.5) < 0.25,
  everything: () => true,
};

async function render({ model, el }) {
  const [width, height, scale] = ["width", "height", "scale"].map((name) => model.get(name));
  const picture = new Image();
  picture.src = model.get("picture");
  await picture.decode();

  const tile = node("canvas", { width: 8, height: 8 });
  const ink = tile.getContext("2d");
  for (let i = 0; i < 64; i++) {
    const [x, y] = [i % 8, Math.floor(i / 8)];
    ink.fillStyle = (x + y) % 8 < 4 ? "#e69f00" : "#000000";
    ink.fillRect(x, y, 1, 1);
  }

  const size = node("input", { type: "range", min: 1, max: 12, value: Math.max(2, Math.round(width / 9)) });
  const ready = node("select", {}, node("option", { value: "" }, "choose …"));
  ready.append(...Object.keys(HOLES).map((name) => node("option", {}, name)));

  const inside = (hole) => Array.from({ length: width * height }, (_, i) =>
    Number(hole(((i % width) + 0.5) / width, (Math.floor(i / width) + 0.5) / height)));
  const masks = Object.entries(HOLES).map(([name, hole]) => [name, inside(hole)]);
  // which of the ready-made holes is painted, if it is one of them
  const named = (pixels) => masks.find(([, mask]) => mask.every((hole, i) => hole === pixels[i]))?.[0] ?? "";

  board({ model, el }, {
    send: "Fill",
    describe: (pixels) => `The hole: ${named(pixels) || extent(pixels, width)}.`,
    paint(context, pixels) {
      ready.value = named(pixels); // the menu follows what is painted
      context.globalAlpha = 1;
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, 0, 0, width * scale, height * scale);
      context.globalAlpha = 0.8;
      context.fillStyle = context.createPattern(tile, "repeat");
      pixels.forEach((hole, i) => {
        if (hole) context.fillRect((i % width) * scale, Math.floor(i / width) * scale, scale, scale);
      });
    },
    // a fifth of a pixel more than its radius, so that the smallest brush never falls between four pixels
    touch: (old, distance, rub) => (distance < size.value / 2 + 0.21 ? Number(!rub) : old),
    tools(put) {
      ready.addEventListener("change", () => {
        if (ready.value) put(inside(HOLES[ready.value]));
      });
      return [node("label", {}, "brush", size), node("label", {}, "ready-made hole", ready)];
    },
  });
}

export default { render };
