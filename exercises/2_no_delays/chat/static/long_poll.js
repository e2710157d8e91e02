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

let lastupdate = -1;

class BadToken extends Error {}

async function fetchJson(address, options) {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(address, { ...options, headers });
  if (response.status === 401) {
    throw new BadToken("The chat server wants another token.");
  }
  if (!response.ok) {
    throw new Error(`The chat server says ${response.status}.`);
  }
  return response.json();
}

function ask(cursor, signal) {
  return fetchJson(`${url}?lastupdate=${cursor}`, { signal });
}

function greet() {
  return ask(-1, AbortSignal.timeout(LONGEST_ANSWER));
}

async function next() {
  const reply = await ask(lastupdate, AbortSignal.timeout(LONGEST_POLL));
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

async function post(text) {
  const body = new URLSearchParams({ new_message: text });
  const signal = AbortSignal.timeout(LONGEST_ANSWER);
  try {
    await fetchJson(url, { method: "POST", body, signal });
  } catch (error) {
    console.info(error);
    giveBack(text);
  }
}

onSend((text) => {
  post(text);
  return true;
});

poll();
