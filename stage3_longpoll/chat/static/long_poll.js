import { connected, disconnected, giveBack, onSend, show } from "./room.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);
const LONGEST_POLL = 25000; // milliseconds: many a proxy gives up after 30 seconds

let lastupdate = -1;

async function ask(cursor) {
  const response = await fetch(`${url}?lastupdate=${cursor}`, {
    signal: AbortSignal.timeout(LONGEST_POLL),
  });
  if (!response.ok) {
    throw new Error(`The chat server says ${response.status}.`);
  }
  return response.json();
}

async function next() {
  try {
    const reply = await ask(lastupdate);
    show(reply.data);
    lastupdate = reply.timestamp;
  } catch (error) {
    // A poll that ran out of time has only nothing to say.
    if (error.name !== "TimeoutError") {
      throw error;
    }
  }
}

async function poll() {
  try {
    const greeting = await ask(-1); // which the server answers at once
    show(greeting.data);
    lastupdate = Math.max(lastupdate, greeting.timestamp);
    connected();
    for (;;) {
      await next();
    }
  } catch {
    disconnected(poll);
  }
}

async function post(text) {
  try {
    const body = new URLSearchParams({ new_message: text });
    const response = await fetch(url, { method: "POST", body });
    if (!response.ok) {
      throw new Error(`The chat server says ${response.status}.`);
    }
  } catch {
    giveBack(text);
  }
}

onSend((text) => {
  post(text);
  return true;
});

poll();
