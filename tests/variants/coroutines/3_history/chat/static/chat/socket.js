"use strict";

class SocketLine {
  static LIMIT = 10000; // milliseconds for an answer

  constructor(page, address) {
    this.page = page;
    this.address = address;
    this.patience = new Patience();
    page.onSay(() => this.say());
  }

  open() {
    this.told = false;
    this.saying = null; // the id of the one that is under way
    const socket = new WebSocket(this.address);
    socket.onopen = () => this.enter();
    socket.onmessage = (event) => this.heard(JSON.parse(event.data));
    socket.onclose = (event) => this.lost(event.code);
    this.socket = socket;
    this.expect();
  }

  /** Wants to hear something soon. */
  expect() {
    clearTimeout(this.alarm);
    this.alarm = setTimeout(() => {
      this.socket.onmessage = this.socket.onclose = null;
      this.socket.close();
      this.lost(1006);
    }, SocketLine.LIMIT);
  }

  enter() {
    this.socket.send(JSON.stringify({ token: this.page.token, ...this.page.cursor }));
  }

  heard(batch) {
    clearTimeout(this.alarm);
    this.patience.refill();
    this.page.take(batch);
    if (!this.told) this.page.online = true;
    this.told = true;
    if (this.page.outbox.has(this.saying)) this.expect();
    else this.saying = null;
    this.say();
  }

  lost(code) {
    clearTimeout(this.alarm);
    if (code === 4401 || code === 4410) {
      this.page.end(STALE);
      return;
    }
    // It did not like what was said, and would not like it a second time.
    if (code === 4400 || code === 1009) this.page.fail(this.saying);
    this.told = false;
    this.page.online = false;
    setTimeout(() => this.open(), this.patience.rest());
  }

  /** Says what is in the outbox, one after the other. */
  say() {
    if (!this.told || this.saying || this.page.outbox.size === 0) return;
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const [[id, { text }]] = this.page.outbox;
    this.saying = id;
    this.socket.send(JSON.stringify({ id, text }));
    this.expect();
  }
}

new SocketLine(new Page(), document.currentScript.dataset.address).open();
