// The states of one walk: they come in from the worker, are played at a calm pace, and can be scrubbed.

const LASTS = 1200; // milliseconds in which a film plays, if it is not slower to compute
const SLOWEST = 90; // at most so many for a picture
const QUICKEST = 16; // and at least

// show(film) is called whenever there is something else to see. calm: nothing moves by itself, the end is shown when it is there.
export class Film {
  constructor({ show, calm, expected }) {
    Object.assign(this, { show, calm, states: [], at: 0, done: false, playing: true });
    const pace = Math.min(SLOWEST, LASTS / expected);
    this.stride = Math.max(1, Math.round(QUICKEST / pace)); // of a long walk not every picture is played
    this.pace = pace * this.stride;
  }

  // The last state that can be shown: with the guess that is made there, which comes with the state after it.
  get last() {
    return this.states.length - (this.done ? 1 : 2);
  }

  get ended() {
    return this.done && this.at === this.last;
  }

  get state() {
    return this.states[this.at];
  }

  // What the network guesses at this state; at the end of the walk, what it guessed last.
  get guess() {
    return this.states[this.at + 1]?.x0_hat ?? this.state?.x0_hat ?? null;
  }

  add(state) {
    this.states.push(state);
    if (this.states.length <= 2) this.show(this); // static, and the first guess
    this.next();
  }

  finish() {
    this.done = true;
    if (this.calm && this.playing) this.at = this.last;
    this.show(this);
    this.next();
  }

  // The next picture, not before its time.
  next() {
    if (this.ended && this.playing) {
      this.playing = false;
      this.show(this);
    }
    if (!this.playing || this.calm || this.timer || this.at >= this.last) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.at = Math.min(this.at + this.stride, this.last);
      this.show(this);
      this.next();
    }, this.pace);
  }

  stop() {
    this.playing = false;
    clearTimeout(this.timer);
    this.timer = null;
    this.show(this);
  }

  // On from here, or from the start if this is the end. Who asks for it wants to see it move.
  play() {
    if (this.ended) this.at = 0;
    this.calm = false;
    this.playing = true;
    this.show(this);
    this.next();
  }

  to(at) {
    this.stop();
    this.at = Math.max(0, Math.min(at, this.last));
    this.show(this);
  }
}
