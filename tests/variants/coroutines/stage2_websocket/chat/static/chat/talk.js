"use strict";

/** What is on the page. */
class Page {
  constructor() {
    this.talk = document.querySelector(".talk");
    this.status = document.querySelector("[role=status]");
    this.form = document.querySelector(".say");
    this.words = this.form.elements.words;
    this.button = this.form.querySelector("button");
  }

  set online(yes) {
    this.status.textContent = yes ? "Connected" : "Not connected. Reconnecting ...";
    if (!yes && document.activeElement === this.button) this.words.focus();
    this.button.disabled = !yes;
  }

  add(text) {
    const line = document.createElement("p");
    line.dir = "auto";
    line.textContent = text;
    this.talk.appendChild(line);
    this.talk.scrollTop = this.talk.scrollHeight;
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
      if (text.trim() !== "" && say(text)) this.form.reset();
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

class SocketLine {
  constructor(page, address) {
    this.page = page;
    this.address = address;
    this.patience = new Patience();
    page.onSay((text) => this.say(text));
  }

  open() {
    this.socket = new WebSocket(this.address);
    this.socket.onopen = () => { this.page.online = true; };
    this.socket.onmessage = (event) => this.heard(event.data);
    this.socket.onclose = () => this.lost();
  }

  heard(text) {
    this.patience.refill();
    this.page.add(text);
  }

  lost() {
    this.page.online = false;
    setTimeout(() => this.open(), this.patience.rest());
  }

  say(text) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(text);
    return true;
  }
}

new SocketLine(new Page(), document.currentScript.dataset.line).open();
