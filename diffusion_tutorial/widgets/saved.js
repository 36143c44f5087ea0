// A figure that moves stands under the picture of it that was saved for pages where it cannot run. Where it can, the picture
// goes: `from` is what moves, and `width` that picture's own width, by which it is known.
function hideSaved(from, width) {
  const watcher = new ResizeObserver(async () => {
    if (!from.isConnected) return;
    watcher.disconnect();
    for (let place = from; place && !place.matches(".jp-Cell, .cell, body"); place = place.parentElement) {
      const before = place.previousElementSibling;
      const image = before && (before.matches("img") ? before : before.querySelector("img"));
      if (!image) continue;
      await image.decode().catch(() => {});
      if (image.naturalWidth === width) before.style.display = "none";
      return;
    }
  });
  watcher.observe(from);
}
