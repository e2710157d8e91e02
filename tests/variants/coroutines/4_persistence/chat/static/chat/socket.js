"use strict";

class SocketLine {
  static LIMIT = 10000; // milliseconds for an answer

  constructor(page, address) {
    this.page = page;
    this.address = address;
    this.patience = new Patience();
    this.storing = new Patience(); // with a server that cannot store just now
    page.onSay(() => this.say());
  }

  open() {
    this.told = false;
    this.saying = null; // the id of the one that is under way
    this.late = null; // the id of the one that will be said again
    clearTimeout(this.again);
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
    if (!batch.status) {
      this.later(batch.error);
      return;
    }
    this.patience.refill();
    this.page.take(batch);
    if (!this.told) this.page.online = true;
    this.told = true;
    const own = this.saying ?? this.late;
    if (own && !this.page.outbox.has(own)) {
      clearTimeout(this.again);
      this.saying = this.late = null;
      this.storing.refill();
    }
    if (this.saying) this.expect();
    this.say();
  }

  /** Says a message again that could not be stored. */
  later(error) {
    if (!this.saying) return;
    this.page.delay(error);
    [this.late, this.saying] = [this.saying, null];
    this.again = setTimeout(() => {
      this.late = null;
      this.say();
    }, this.storing.rest());
  }

  lost(code) {
    clearTimeout(this.alarm);
    if (code === 4404) {
      this.page.end(GONE);
      return;
    }
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
    if (!this.told || this.saying || this.late || this.page.outbox.size === 0) return;
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const [[id, { text }]] = this.page.outbox;
    this.saying = id;
    this.socket.send(JSON.stringify({ id, text }));
    this.expect();
  }
}

const { dataset } = document.currentScript;
new SocketLine(new Page(dataset), dataset.address).open();
