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
// tools(put, say) makes the controls of one kind of canvas, which put pixels there and say a sentence.
function board({ model, el }, { send, paint, touch, tools }) {
  const [width, height, scale] = ["width", "height", "scale"].map((name) => model.get(name));
  const canvas = node("canvas", { width: width * scale, height: height * scale, role: "img" });
  canvas.setAttribute("aria-label", model.get("alt"));
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
  const left = node("div", { class: "dt-board" }, canvas, buttons, controls, status);
  const pair = node("div", { class: "dt-pair" }, left, shown);
  const caption = node("figcaption", {}, model.get("caption"));
  el.append(node("figure", { class: "dt-card" }, pair, caption));
  for (const control of left.querySelectorAll("button, input, select")) {
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
    paint(context, pixels);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
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

  const follow = (name, show) => {
    model.on(`change:${name}`, show);
    show();
  };
  follow("pixels", () => {
    if (last) return; // a line that is being drawn is not undone by an older message
    pixels = model.get("pixels");
    paint(context, pixels);
  });
  follow("busy", () => (ask.disabled = model.get("busy")));
  follow("says", () => (status.textContent = model.get("says")));
  follow("shown", () => (shown.innerHTML = model.get("shown")));
}
