"use strict";

const STALE = "This page may not come in any more. Load it again.";

/** What is on the page. */
class Page {
  constructor() {
    this.token = JSON.parse(document.getElementById("chat-token").textContent);
    this.took = document.querySelector(".took");
    this.sent = []; // pairs of a text and when it was sent
    this.talk = document.querySelector(".talk");
    this.status = document.querySelector("[role=status]");
    this.form = document.querySelector(".say");
    this.words = this.form.elements.words;
    this.button = this.form.querySelector("button");
  }

  set online(yes) {
    this.status.textContent = yes ? "Connected" : "Not connected. Reconnecting ...";
    if (!yes) this.sent = []; // Nobody knows what became of them.
    if (!yes && document.activeElement === this.button) this.words.focus();
    this.button.disabled = !yes;
  }

  add(text) {
    this.time(text);
    const line = document.createElement("p");
    line.dir = "auto";
    line.textContent = text;
    this.talk.appendChild(line);
    this.talk.scrollTop = this.talk.scrollHeight;
  }

  /** Shows how long a text took, if it is one that was sent from here. */
  time(text) {
    const at = this.sent.findIndex(([sent]) => sent === text);
    if (at < 0) return;
    const [[, since]] = this.sent.splice(at, 1);
    const seconds = (performance.now() - since) / 1000;
    this.took.textContent = `Your last message took ${seconds.toFixed(2)} s.`;
  }

  /** Says why nothing more will come. */
  end(why) {
    this.online = false;
    this.status.textContent = why;
  }

  back = [];

  /** Puts back what did not get through, when there is room for it. */
  putBack(text) {
    this.sent = this.sent.filter(([sent]) => sent !== text);
    this.back.push(text);
    this.refill();
    this.status.textContent = "That may not have been sent.";
  }

  refill() {
    if (this.words.value === "" && this.back.length > 0) {
      this.words.value = this.back.shift();
    }
  }

  /** Calls `say` with what is typed. It returns whether it could send that. */
  onSay(say) {
    this.words.addEventListener("keydown", (event) => {
      // This Enter chooses a word of an input method.
      const composing = event.isComposing || event.keyCode === 229;
      if (composing && event.key === "Enter") event.preventDefault();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.words.focus();
      const text = this.words.value;
      if (text.trim() !== "" && say(text)) {
        this.sent.push([text, performance.now()]);
        this.form.reset();
      }
      this.refill();
    });
  }
}

/** Longer from one time to the next, and never twice the same. */
class Patience {
  static SHORTEST = 500;
  static LONGEST = 30000;

  next = Patience.SHORTEST;

  rest() {
    const milliseconds = this.next * (0.5 + Math.random() / 2);
    this.next = Math.min(this.next * 2, Patience.LONGEST);
    return milliseconds;
  }

  refill() {
    this.next = Patience.SHORTEST;
  }
}
