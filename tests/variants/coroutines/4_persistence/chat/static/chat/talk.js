"use strict";

const STALE = "This page may not come in any more. Load it again.";
const GONE = "This room was deleted.";

/** What is on the page. */
class Page {
  constructor({ earlier }) {
    this.earlierAddress = earlier;
    this.earlier = document.querySelector(".earlier");
    this.earlier.addEventListener("click", () => this.loadEarlier());
    this.first = Infinity; // the lowest number that is shown
    this.token = JSON.parse(document.getElementById("chat-token").textContent);
    this.talk = document.querySelector(".talk");
    this.heard = this.talk.querySelector(".heard");
    this.waiting = this.talk.querySelector(".waiting");
    this.status = document.querySelector("[role=status]");
    this.took = document.querySelector(".took");
    this.form = document.querySelector(".say");
    this.words = this.form.elements.words;
    this.button = this.form.querySelector("button");
    this.cursor = null;
    this.shown = new Set(); // ids of those in .heard
    this.outbox = new Map(); // id -> what is not told back yet
    this.amiss = ""; // what is wrong although there is a connection
    this.loading = false;
  }

  set online(yes) {
    const good = this.amiss || "Connected";
    this.status.textContent = yes ? good : "Not connected. Reconnecting ...";
    this.button.disabled = false; // What is said without a connection waits for one.
  }

  /** Says what is wrong with a message that is said again later. */
  delay(error) {
    this.amiss = `Not stored yet: ${error}. Trying again ...`;
    this.status.textContent = this.amiss;
  }

  /** Says why nothing more will come. */
  end(why) {
    this.online = false;
    this.status.textContent = why;
    this.button.disabled = true;
    for (const id of [...this.outbox.keys()]) this.fail(id);
  }

  /** Changes a copy of the log, and shows that instead, so that it is not read aloud. */
  quietly(change) {
    const shown = this.talk;
    this.heard = this.heard.cloneNode(true);
    change();
    this.talk = shown.cloneNode(false);
    this.talk.append(this.heard, this.waiting);
    shown.replaceWith(this.talk);
    this.talk.scrollTop = this.talk.scrollHeight;
  }

  /** Takes in what the server tells, and moves the cursor. */
  take(batch) {
    if (this.cursor) this.takeIn(batch);
    else this.quietly(() => this.takeIn(batch)); // all that was said before
  }

  takeIn(batch) {
    if (batch.reset) this.append(this.heard, "Some messages may be missing here.", "gap");
    const known = batch.reset || !this.cursor ? 0 : this.cursor.seq;
    for (const message of batch.data) {
      if (message.seq > known) this.place(message);
      this.confirm(message.id);
    }
    this.cursor = { epoch: batch.epoch, seq: Math.max(known, batch.seq) };
  }

  async loadEarlier() {
    if (this.loading) return; // A button that is disabled would lose the focus.
    this.loading = true;
    try {
      const response = await fetch(`${this.earlierAddress}?before=${this.first}`);
      if (!response.ok) throw new Error(`${response.status}`);
      const { data, more } = await response.json();
      const [height, top] = [this.talk.scrollHeight, this.talk.scrollTop];
      this.quietly(() => {
        for (const { id, seq, text } of data.reverse()) {
          this.first = Math.min(this.first, seq);
          if (this.shown.has(id)) continue;
          this.shown.add(id);
          this.heard.prepend(this.line(text));
        }
      });
      this.talk.scrollTop = top + this.talk.scrollHeight - height;
      this.earlier.hidden = !more;
      if (!more) this.words.focus({ preventScroll: true });
      this.earlier.textContent = "Earlier messages";
    } catch (error) {
      console.info(String(error));
      this.earlier.textContent = "Earlier messages (that failed, try again)";
    }
    this.loading = false;
  }

  place({ id, seq, text }) {
    if (seq < this.first) {
      this.first = seq;
      this.earlier.hidden = seq === 1;
    }
    if (this.shown.has(id)) return;
    this.shown.add(id);
    const mine = this.waiting.querySelector(`[data-id="${CSS.escape(id)}"]`);
    if (mine) this.heard.append(mine);
    else this.append(this.heard, text);
    this.talk.scrollTop = this.talk.scrollHeight;
  }

  /** The server has it. */
  confirm(id) {
    const mine = this.outbox.get(id);
    if (!mine) return;
    this.outbox.delete(id);
    mine.line.dataset.state = "sent";
    mine.isTold();
    if (this.amiss) {
      this.amiss = "";
      this.online = true;
    }
    const seconds = (performance.now() - mine.since) / 1000;
    this.took.textContent = `Your last message took ${seconds.toFixed(2)} s.`;
  }

  /** The server will not have it. */
  fail(id) {
    const mine = this.outbox.get(id);
    if (!mine) return;
    this.outbox.delete(id);
    mine.line.dataset.state = "failed";
    const button = (name, click) => {
      const made = Object.assign(document.createElement("button"), { textContent: name });
      made.addEventListener("click", click);
      mine.line.append(" ", made);
    };
    button("Try again", () => this.tryAgain(id, mine));
    button("Remove", () => mine.line.remove());
  }

  line(text, kind = "") {
    const line = document.createElement("p");
    line.className = kind;
    line.dir = "auto";
    line.textContent = text;
    return line;
  }

  tryAgain(id, mine) {
    for (const button of mine.line.querySelectorAll("button")) button.remove();
    mine.line.dataset.state = "pending";
    this.outbox.set(id, mine);
    this.say();
  }

  append(where, text, kind) {
    const line = this.line(text, kind);
    where.append(line);
    this.talk.scrollTop = this.talk.scrollHeight;
    return line;
  }

  /** Calls `say` when something new is in the outbox. */
  onSay(say) {
    this.say = say;
    window.addEventListener("beforeunload", (event) => {
      const failed = document.querySelector("[data-state=failed]");
      if (this.outbox.size || failed) event.preventDefault();
    });
    this.words.addEventListener("keydown", (event) => {
      // This Enter chooses a word of an input method.
      const composing = event.isComposing || event.keyCode === 229;
      if (composing && event.key === "Enter") event.preventDefault();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.words.focus();
      const text = this.words.value;
      if (text.trim() === "") return;
      const id = crypto.randomUUID();
      const line = this.append(this.waiting, text);
      line.dataset.id = id;
      line.dataset.state = "pending";
      const mine = { text, line, since: performance.now() };
      mine.told = new Promise((done) => { mine.isTold = done; });
      this.outbox.set(id, mine);
      this.form.reset();
      say();
    });
  }
}

/** Longer from one time to the next, and any time between none and that. */
class Patience {
  static SHORTEST = 500;
  static LONGEST = 30000;

  next = Patience.SHORTEST;

  rest() {
    const milliseconds = this.next * Math.random();
    this.next = Math.min(this.next * 2, Patience.LONGEST);
    return milliseconds;
  }

  refill() {
    this.next = Patience.SHORTEST;
  }
}
