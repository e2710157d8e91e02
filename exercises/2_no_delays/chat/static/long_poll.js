import {
  connected,
  disconnected,
  giveBack,
  onSend,
  settled,
  show,
  shutOut,
} from "./room.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);
const token = JSON.parse(document.getElementById("chat-token").textContent);
const LONGEST_POLL = 35000; // milliseconds: the server ends a poll after 25 seconds
const LONGEST_ANSWER = 10000; // to what the server answers at once
// Of two equal requests, a browser may hold one back until the other is answered. So no
// two windows ask alike.
const WINDOW = Math.random();

const outgoing = []; // texts that the server has not taken yet

let lastupdate = -1;

class BadToken extends Error {}

async function fetchJson(address, longest, options) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), longest);
  try {
    const { signal } = controller;
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch(address, { ...options, headers, signal });
    if (response.status === 401) {
      throw new BadToken("The chat server wants another token.");
    }
    if (!response.ok) {
      throw new Error(`The chat server says ${response.status}.`);
    }
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
}

function ask(cursor, longest) {
  return fetchJson(`${url}?lastupdate=${cursor}&window=${WINDOW}`, longest);
}

function greet() {
  return ask(-1, LONGEST_ANSWER);
}

async function next() {
  const reply = await ask(lastupdate, LONGEST_POLL);
  reply.data.forEach(show); // none, if the room was quiet
  lastupdate = reply.timestamp;
}

async function poll() {
  try {
    const greeting = await greet();
    greeting.data.forEach(show);
    lastupdate = Math.max(lastupdate, greeting.timestamp);
    for (;;) {
      connected();
      await next();
      settled();
    }
  } catch (error) {
    console.info(error);
    if (error instanceof BadToken) {
      shutOut();
    } else {
      disconnected(poll);
    }
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
