"use strict";

class Stale extends Error {}

class PollingLine {
  static SHORT = 8000;
  static LONG = 35000; // The server ends a poll before.

  constructor(page, address) {
    this.page = page;
    this.address = address;
    this.patience = new Patience();
    this.cursor = -1;
    this.unsent = [];
    page.onSay((text) => this.say(text));
  }

  async request(query, limit, options = {}) {
    const given = new AbortController();
    const timer = setTimeout(() => given.abort(), limit);
    try {
      const { signal } = given;
      const headers = { Authorization: `Bearer ${this.page.token}` };
      const own = { headers, signal, cache: "no-store" }; // no waiting for another window
      const response = await fetch(this.address + query, { ...options, ...own });
      if (response.status === 401) throw new Stale();
      if (!response.ok) throw new Error(`${response.status} for ${query}`);
      return await response.json();
    } finally {
      clearTimeout(timer);
    }
  }

  greet() {
    return this.request("?lastupdate=-1", PollingLine.SHORT);
  }

  /** Asks for ever, and returns when that fails. */
  async open() {
    try {
      const greeting = await this.greet();
      greeting.data.forEach((text) => this.page.add(text));
      if (this.cursor < greeting.timestamp) this.cursor = greeting.timestamp;
      this.page.online = true;
      while (true) await this.ask();
    } catch (error) {
      console.info(String(error));
      if (error instanceof Stale) {
        this.page.end(STALE);
        return;
      }
      this.page.online = false;
      setTimeout(() => this.open(), this.patience.rest());
    }
  }

  async ask() {
    const news = await this.request(`?lastupdate=${this.cursor}`, PollingLine.LONG);
    this.patience.refill();
    this.page.online = true;
    news.data.forEach((text) => this.page.add(text));
    this.cursor = news.timestamp;
  }

  say(text) {
    this.unsent.push(text);
    if (this.unsent.length === 1) this.post();
    return true;
  }

  /** One after the other. When one fails, those behind it wait with it in the box. */
  async post() {
    try {
      while (this.unsent.length > 0) {
        const body = new URLSearchParams([["new_message", this.unsent[0]]]);
        await this.request("", PollingLine.SHORT, { method: "POST", body });
        this.unsent.shift();
      }
    } catch (error) {
      console.info(String(error));
      for (const text of this.unsent.splice(0)) this.page.putBack(text);
      if (error instanceof Stale) this.page.end(STALE);
    }
  }
}

new PollingLine(new Page(), document.currentScript.dataset.address).open();
