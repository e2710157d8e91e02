"use strict";

class PollingLine {
  static SHORT = 8000;
  static LONG = 22000;

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
      const response = await fetch(this.address + query, { ...options, signal });
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
      this.page.add(greeting.data);
      if (this.cursor < greeting.timestamp) this.cursor = greeting.timestamp;
      this.page.online = true;
      while (true) await this.ask();
    } catch (error) {
      console.info(String(error));
      this.page.online = false;
      setTimeout(() => this.open(), this.patience.rest());
    }
  }

  async ask() {
    let news = null;
    try {
      news = await this.request(`?lastupdate=${this.cursor}`, PollingLine.LONG);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      await this.greet(); // Throws, if it is not silence but a server that hangs.
    }
    this.patience.refill();
    this.page.online = true;
    if (news === null) return;
    this.page.add(news.data);
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
    }
  }
}

new PollingLine(new Page(), document.currentScript.dataset.address).open();
