
function render({ model, el }) {
  const image = document.createElement("img");
  const frame = document.createElement("div");
  frame.className = "dt-live";
  frame.append(image);
  el.append(frame);
  const show = () => {
    image.src = model.get("src");
    image.alt = model.get("alt");
    image.width = model.get("width");
    const whole = model.get("whole");
    frame.classList.toggle("dt-whole", whole);
    whole ? frame.setAttribute("tabindex", 0) : frame.removeAttribute("tabindex");
  };
  frame.dataset.lmSuppressShortcuts = "true"; // the arrows move it sideways, and not JupyterLab's cursor
  for (const name of ["src", "alt", "width", "whole"]) model.on(`change:${name}`, show);
  show();
  hideSaved(el, model.get("saved"));
}

export default { render };
