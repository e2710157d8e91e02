"use strict";

/** The server has answered, and does not want this. */
class Refused extends Error {
  constructor(status) {
    super(`refused with ${status}`);
    this.stale = status === 401;
    this.gone = status === 404;
    this.forGood = status >= 400 && status < 500;
  }
}

class PollingLine {
  static SHORT = 8000;
  static LONG = 35000; // The server ends a poll before.

  constructor(page, address) {
    this.page = page;
    this.address = address;
    this.patience = new Patience();
    this.posting = false;
    page.onSay(() => this.post());
  }

  async request(query, limit, options = {}) {
    const given = new AbortController();
    const timer = setTimeout(() => given.abort(), limit);
    try {
      const headers = { Authorization: `Bearer ${this.page.token}` };
      const own = { headers, signal: given.signal, cache: "no-store" };
      const response = await fetch(this.address + query, { ...options, ...own });
      if (!response.ok) throw new Refused(response.status);
      return await response.json();
    } finally {
      clearTimeout(timer);
    }
  }

  query(more = {}) {
    return "?" + new URLSearchParams({ ...this.page.cursor, ...more });
  }

  /** Asks for ever, and returns when that fails. */
  async open() {
    try {
      this.page.take(await this.request(this.query({ wait: 0 }), PollingLine.SHORT));
      this.page.online = true;
      this.post();
      while (true) {
        this.page.take(await this.request(this.query(), PollingLine.LONG));
        this.patience.refill();
      }
    } catch (error) {
      console.info(String(error));
      if (error.stale || error.gone) {
        this.page.end(error.stale ? STALE : GONE);
        return;
      }
      this.page.online = false;
      setTimeout(() => this.open(), this.patience.rest());
    }
  }

  /** Posts what is in the outbox, one after the other, until it is empty. */
  async post() {
    if (this.posting) return;
    this.posting = true;
    const patience = new Patience();
    while (this.page.outbox.size) {
      const [[id, { text, told }]] = this.page.outbox;
      const body = new URLSearchParams({ id, new_message: text });
      try {
        const posted = this.request("", PollingLine.SHORT, { method: "POST", body });
        posted.catch(() => {}); // It may be told back by a poll before.
        await Promise.race([posted, told]);
        this.page.confirm(id);
      } catch (error) {
        console.info(String(error));
        if (error.stale) this.page.end(STALE);
        else if (error.gone) this.page.end(GONE);
        else if (error.forGood) this.page.fail(id);
        else {
          if (error instanceof Refused) this.page.delay("the database is away");
          await new Promise((done) => setTimeout(done, patience.rest()));
        }
      }
    }
    this.posting = false;
  }
}

const { dataset } = document.currentScript;
new PollingLine(new Page(dataset), dataset.address).open();
