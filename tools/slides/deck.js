// Typeset, then begin; and whenever a slide is shown, see to it that nothing runs over its edge.
const STEP = 0.04, LEAST = 0.5;

// A figure that moves is as large as its stage; its own controls grow with it.
function stage(slide) {
  const place = slide.querySelector(".stage.film");
  const film = place && place.querySelector("figure > *");
  if (!film || film.dataset.fits) return;
  const zoom = Math.min(place.clientWidth / film.offsetWidth, place.clientHeight / film.offsetHeight, 2.4);
  film.style.zoom = zoom;
  film.dataset.fits = zoom;
}

// Prose, code and tables get smaller together, step by step.
function shrink(slide) {
  const body = slide.querySelector(".body");
  if (!body || body.dataset.fits) return;
  const full = parseFloat(getComputedStyle(body).fontSize);
  let share = 1;
  while ((body.scrollHeight > body.clientHeight + 1 || body.scrollWidth > body.clientWidth + 1) && share > LEAST) {
    share -= STEP;
    body.style.fontSize = `${full * share}px`;
  }
  body.dataset.fits = share.toFixed(2);
}

const fit = ({ currentSlide }) => {
  shrink(currentSlide);
  stage(currentSlide);
};

MathJax.startup.promise
  .then(() => MathJax.typesetPromise())
  .then(() => {
    Reveal.on("ready", fit);
    Reveal.on("slidechanged", fit);
    return Reveal.initialize({
      width: 1280,
      height: 720,
      margin: 0.02,
      center: false,
      hash: true,
      transition: "none",
      slideNumber: "c/t",
      viewDistance: 2,
      plugins: [RevealNotes],
    });
  });
