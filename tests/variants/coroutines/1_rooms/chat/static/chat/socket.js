"use strict";

class SocketLine {
  constructor(page, address) {
    this.page = page;
    this.address = address;
    this.patience = new Patience();
    page.onSay((text) => this.say(text));
  }

  open() {
    this.socket = new WebSocket(this.address);
    this.socket.onopen = () => this.socket.send(this.page.token);
    this.socket.onmessage = (event) => this.heard(event.data);
    this.socket.onclose = (event) => this.lost(event.code);
  }

  heard(text) {
    this.patience.refill();
    this.page.online = true; // The first that is heard is the greeting.
    this.page.add(text);
  }

  lost(code) {
    if (code === 4401 || code === 4410) {
      this.page.end(STALE);
      return;
    }
    this.page.online = false;
    setTimeout(() => this.open(), this.patience.rest());
  }

  say(text) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(text);
    return true;
  }
}

new SocketLine(new Page(), document.currentScript.dataset.address).open();
