"use strict";

const STALE = "This page may not come in any more. Load it again.";

/** What is on the page. */
class Page {
  constructor() {
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
  }

  set online(yes) {
    this.status.textContent = yes ? "Connected" : "Not connected. Reconnecting ...";
    this.button.disabled = false; // What is said without a connection waits for one.
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

  place({ id, text }) {
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

  tryAgain(id, mine) {
    for (const button of mine.line.querySelectorAll("button")) button.remove();
    mine.line.dataset.state = "pending";
    this.outbox.set(id, mine);
    this.say();
  }

  append(where, text, kind = "") {
    const line = document.createElement("p");
    line.className = kind;
    line.dir = "auto";
    line.textContent = text;
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
