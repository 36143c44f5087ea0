// A pad of 28 x 28 to draw a digit on: by mouse, pen, finger or keyboard.

export const SIDE = 28;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// The canvas shows the ink, 0 to 1 for each pixel; `cursor`, an element above it, where the keyboard is; `heard` says it.
// changed() hears of every line that is finished.
export class Pad {
  constructor(canvas, cursor, heard, changed) {
    Object.assign(this, { canvas, cursor, heard, changed, rubbing: false, at: [14, 14], last: null });
    Object.assign(canvas, { width: SIDE, height: SIDE });
    this.ink = new Float32Array(SIDE * SIDE);
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("lostpointercapture", () => this.lift());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => (cursor.hidden = true));
  }

  // What is on the pad as a picture in [-1, 1].
  get picture() {
    return this.ink.map((value) => 2 * value - 1);
  }

  get empty() {
    return this.ink.every((value) => value === 0);
  }

  clear() {
    this.ink.fill(0);
    this.show();
  }

  // Lines through points [x, y], in pixels.
  draw(points) {
    this.clear();
    points.slice(1).forEach((point, i) => this.line(points[i], point));
  }

  // A soft pen: full within 0.8 of a pixel of its line, fading over one more; the rubber is twice as wide.
  line([ax, ay], [bx, by]) {
    const length2 = (bx - ax) ** 2 + (by - ay) ** 2;
    this.ink.forEach((old, i) => {
      const [x, y] = [(i % SIDE) + 0.5, Math.floor(i / SIDE) + 0.5];
      const along = length2 ? ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2 : 0;
      const share = Math.min(1, Math.max(0, along));
      const distance = Math.hypot(x - ax - share * (bx - ax), y - ay - share * (by - ay));
      const touch = Math.min(1, Math.max(0, (this.rubbing ? 2.6 : 1.8) - distance));
      this.ink[i] = this.rubbing ? Math.min(old, 1 - touch) : Math.max(old, touch);
    });
    this.show();
  }

  show() {
    paint(this.canvas, this.picture);
    const inked = this.ink.filter((value) => value > 0.5).length;
    this.canvas.setAttribute("aria-label", `Your drawing: ${inked ? `${inked} of ${SIDE * SIDE} pixels inked` : "empty"}`);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  }

  down(event) {
    if (event.button || !event.isPrimary) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    this.cursor.hidden = true;
    this.last = this.place(event);
    this.line(this.last, this.last);
  }

  move(event) {
    if (!this.last || !event.isPrimary) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const next = this.place(part);
      this.line(this.last, next);
      this.last = next;
    }
  }

  lift() {
    this.last = null;
    this.changed();
  }

  // Arrows move, space draws, shift and an arrow draw along.
  key(event) {
    const step = STEPS[event.key];
    if (!(step || event.key === " ") || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const before = this.at;
    if (step) this.at = before.map((value, i) => Math.min(SIDE - 1, Math.max(0, value + step[i])));
    if (!step || event.shiftKey) {
      const middle = ([x, y]) => [x + 0.5, y + 0.5];
      this.line(middle(before), middle(this.at));
      this.changed();
    }
    const [x, y] = this.at;
    Object.assign(this.cursor.style, { left: `${(100 * x) / SIDE}%`, top: `${(100 * y) / SIDE}%` });
    this.cursor.hidden = false;
    const inked = this.ink[y * SIDE + x] > 0.5 ? "inked" : "empty";
    this.heard.textContent = `row ${y + 1}, column ${x + 1}, ${inked}`;
  }
}

// A picture in [-1, 1] on a canvas of its size: black is -1, white is 1, what is beyond is cut. null: nothing yet.
export function paint(canvas, picture) {
  if (canvas.width !== SIDE || canvas.height !== SIDE) Object.assign(canvas, { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d");
  if (!picture) return context.clearRect(0, 0, SIDE, SIDE);
  const image = context.createImageData(SIDE, SIDE);
  for (let i = 0; i < picture.length; i++) {
    const grey = Math.round(127.5 * (1 + picture[i])); // the image cuts by itself
    image.data.fill(grey, 4 * i, 4 * i + 3);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
