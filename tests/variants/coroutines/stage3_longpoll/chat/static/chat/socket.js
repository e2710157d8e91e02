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

new SocketLine(new Page(), document.currentScript.dataset.address).open();
