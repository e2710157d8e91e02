import {
  connected,
  disconnected,
  giveBack,
  onSend,
  settled,
  show,
} from "./room.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);
const LONGEST_POLL = 25000; // milliseconds: many a proxy gives up after 30 seconds
const LONGEST_ANSWER = 10000; // to what the server answers at once

const outgoing = []; // texts that the server has not taken yet

let lastupdate = -1;

async function fetchJson(address, longest, options) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), longest);
  try {
    const { signal } = controller;
    const response = await fetch(address, { ...options, signal });
    if (!response.ok) {
      throw new Error(`The chat server says ${response.status}.`);
    }
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
}

function ask(cursor, longest) {
  return fetchJson(`${url}?lastupdate=${cursor}`, longest);
}

function greet() {
  return ask(-1, LONGEST_ANSWER);
}

async function next() {
  try {
    const reply = await ask(lastupdate, LONGEST_POLL);
    show(reply.data);
    lastupdate = reply.timestamp;
  } catch (error) {
    if (error.name !== "AbortError") {
      throw error;
    }
    // Is the room quiet, or does the server hang?
    await greet();
  }
}

async function poll() {
  try {
    const greeting = await greet();
    show(greeting.data);
    lastupdate = Math.max(lastupdate, greeting.timestamp);
    for (;;) {
      connected();
      await next();
      settled();
    }
  } catch (error) {
    console.info(error);
    disconnected(poll);
  }
}

// One after the other: two requests at a time may arrive in any order.
async function post() {
  try {
    while (outgoing.length) {
      const body = new URLSearchParams({ new_message: outgoing[0] });
      await fetchJson(url, LONGEST_ANSWER, { method: "POST", body });
      outgoing.shift();
    }
  } catch (error) {
    console.info(error);
    giveBack(outgoing.splice(0));
  }
}

onSend((text) => {
  if (outgoing.push(text) === 1) {
    post();
  }
  return true;
});

poll();
