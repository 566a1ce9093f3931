// What is played here is quieter as soon as somebody speaks over it. The server makes it quieter too, and knows better
// whether that was a voice, but what it sends has a long way through buffers. It says when that begins (onset) and ends
// (onset-over); what it doesn't mention was none, and more is needed the next time.
const LOOK_MS = 10, LOOKS = 4;
const ABOVE_DB = 10, LEAST_DB = -45, RISES_DB = 0.05; // the loudness of the room: it may rise by 5 dB in a second
const SHY_DB = 6, SHYEST_DB = 18;
const QUIETER = 0.25, UNANSWERED_MS = 600;

// `ears.level()` in dB; `volume(part)` sets it.
export class Ducking {
  constructor(ears, volume) {
    this.ears = ears;
    this.volume = volume;
    this.speaking = false;
    this.room = LEAST_DB - ABOVE_DB;
    this.loud = this.shy = this.until = 0;
    this.timer = setInterval(() => this.look(performance.now()), LOOK_MS);
  }

  // A message of the server: its type, and its event if it is one of ours.
  take(type, event, now) {
    if (type === "bot-started-speaking") {
      this.speaking = true;
      this.shy = 0;
      this.louder();
    }
    if (type === "bot-stopped-speaking" || type === "bot-interrupted") this.speaking = false;
    if (type === "bot-stopped-speaking") this.louder();
    if (type === "bot-interrupted" && this.until) this.until = now + UNANSWERED_MS; // its last sound is on its way
    if (event === "onset" && this.speaking) this.quieter(Infinity);
    if (event === "onset-over" && this.speaking) this.louder();
  }

  look(now) {
    const level = this.ears.level();
    this.room = Math.max(LEAST_DB - ABOVE_DB, Math.min(level, this.room + RISES_DB));
    if (this.until) {
      if (now < this.until) return;
      this.shy = Math.min(this.shy + SHY_DB, SHYEST_DB);
      this.louder();
    }
    this.loud = level > this.room + ABOVE_DB + this.shy ? this.loud + 1 : 0;
    if (this.speaking && this.loud >= LOOKS) this.quieter(now + UNANSWERED_MS);
  }

  quieter(until) {
    this.until = until;
    this.volume(QUIETER);
  }

  louder() {
    this.until = this.loud = 0;
    this.volume(1);
  }

  end() {
    clearInterval(this.timer);
    this.louder();
  }
}
