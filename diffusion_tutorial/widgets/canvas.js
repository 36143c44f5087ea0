// What brush.js and sketchpad.js share: the card, the canvas under a pen, the buttons, and the traffic with Python.

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function button(text, press) {
  const made = node("button", { type: "button" }, text);
  made.addEventListener("click", press);
  return made;
}

// paint(context, pixels) shows the pixels; touch(old, distance, rub) is a pixel's new value, so far from the pen's line;
// tools(put, say) makes the controls of one kind of canvas, which put pixels there and say a sentence; describe(pixels) says in
// words what is on it.
function board({ model, el }, { send, paint, touch, tools, describe }) {
  const [width, height, scale] = ["width", "height", "scale"].map((name) => model.get(name));
  const canvas = node("canvas", { width: width * scale, height: height * scale, tabindex: 0 });
  canvas.setAttribute("role", "application"); // it takes the arrow keys, which a screen reader would keep for itself
  canvas.setAttribute("aria-description", "Arrows move, space paints, shift and an arrow paint along.");
  const context = canvas.getContext("2d");
  let pixels = model.get("pixels");
  let last = null; // where the pen was, while it is down

  const say = (sentence) => {
    model.set("says", sentence);
    model.save_changes();
  };
  const put = (drawn) => {
    model.set("pixels", drawn);
    model.save_changes();
  };

  const rubber = node("input", { type: "checkbox" });
  const ask = button(send, () => {
    model.set("busy", true);
    say("Waiting for the kernel …");
  });
  const clear = button("Clear", () => put(pixels.map(() => 0)));
  const status = node("p", { role: "status" });
  const shown = node("div", { class: "dt-shown" });
  const buttons = node("div", { class: "dt-tools" }, ask, clear, node("label", {}, rubber, "rub out"));
  const controls = node("div", { class: "dt-tools" }, ...tools(put, say));
  const cursor = node("div", { class: "dt-cursor", hidden: "" });
  const where = node("p", { class: "dt-heard", "aria-live": "polite" });
  const field = node("div", { class: "dt-field", style: `max-width:${width * scale}px` }, canvas, cursor);
  const left = node("div", { class: "dt-board" }, field, where, buttons, controls, status);
  const pair = node("div", { class: "dt-pair" }, left, shown);
  el.append(node("figure", { class: "dt-card" }, pair));
  hideSaved(el, model.get("saved"));
  for (const control of left.querySelectorAll("button, input, select, canvas")) {
    control.dataset.lmSuppressShortcuts = "true"; // the arrows move a slider, and not JupyterLab's cursor
  }

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  };
  const line = ([ax, ay], [bx, by]) => {
    const length2 = (bx - ax) ** 2 + (by - ay) ** 2;
    pixels = pixels.map((old, i) => {
      const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
      const along = length2 ? ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2 : 0;
      const share = Math.min(1, Math.max(0, along));
      return touch(old, Math.hypot(x - ax - share * (bx - ax), y - ay - share * (by - ay)), rubber.checked);
    });
    look();
  };
  const look = () => {
    paint(context, pixels);
    canvas.setAttribute("aria-label", `${model.get("alt")} ${describe(pixels)}`);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    cursor.hidden = true;
    last = place(event);
    line(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || !event.isPrimary) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const next = place(part);
      line(last, next);
      last = next;
    }
  });
  canvas.addEventListener("lostpointercapture", () => {
    last = null;
    put(pixels);
  });

  let at = [Math.floor(width / 2), Math.floor(height / 2)]; // where the keyboard is
  const point = () => {
    const [x, y] = at;
    Object.assign(cursor.style, { left: `${(100 * x) / width}%`, top: `${(100 * y) / height}%` });
    Object.assign(cursor.style, { width: `${100 / width}%`, height: `${100 / height}%` });
    cursor.hidden = false;
    where.textContent = `row ${y + 1} of ${height}, column ${x + 1} of ${width}, ${pixels[y * width + x] ? "painted" : "empty"}`;
  };
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!(step || event.key === " ") || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const before = at;
    if (step) at = [width, height].map((side, i) => Math.min(side - 1, Math.max(0, at[i] + step[i])));
    if (!step || event.shiftKey) {
      const middle = ([x, y]) => [x + 0.5, y + 0.5];
      line(middle(before), middle(at));
      put(pixels);
    }
    point();
  });
  canvas.addEventListener("blur", () => (cursor.hidden = true));

  const follow = (name, show) => {
    model.on(`change:${name}`, show);
    show();
  };
  follow("pixels", () => {
    if (last) return; // a line that is being drawn is not undone by an older message
    pixels = model.get("pixels");
    look();
  });
  follow("busy", () => (ask.disabled = model.get("busy")));
  follow("says", () => (status.textContent = model.get("says")));
  follow("shown", () => (shown.innerHTML = model.get("shown")));
}

// Which part of the canvas is painted, in words.
function extent(pixels, width) {
  const painted = pixels.flatMap((value, i) => (value ? [i] : []));
  if (!painted.length) return "nothing";
  const [rows, columns] = [painted.map((i) => Math.floor(i / width) + 1), painted.map((i) => (i % width) + 1)];
  const span = (places) => `${Math.min(...places)} to ${Math.max(...places)}`;
  return `${painted.length} of ${pixels.length} pixels, in rows ${span(rows)} and columns ${span(columns)}`;
}
