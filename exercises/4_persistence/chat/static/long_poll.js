import {
  connected,
  disconnected,
  failed,
  notStored,
  onSend,
  pending,
  sent,
  settled,
  shutOut,
  take,
  whereWeAre,
} from "./room.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);
const token = JSON.parse(document.getElementById("chat-token").textContent);
const LONGEST_POLL = 35000; // milliseconds: the server ends a poll after 25 seconds
const LONGEST_ANSWER = 10000; // to what the server answers at once

let connection;
let posting = false;

class BadToken extends Error {}
class BadMessage extends Error {}
class NotStored extends Error {}

async function fetchJson(address, options) {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(address, { ...options, headers });
  if (response.status === 401 || response.status === 404) {
    throw new BadToken("The chat server wants another token, or room.");
  }
  if (response.status === 400 || response.status === 413) {
    throw new BadMessage("The chat server does not take this message.");
  }
  if (response.status === 503) {
    throw new NotStored("The chat server cannot reach its database.");
  }
  if (!response.ok) {
    throw new Error(`The chat server says ${response.status}.`);
  }
  return response.json();
}

function ask(wait, time) {
  const query = new URLSearchParams({ ...whereWeAre(), ...wait });
  const signal = AbortSignal.any([connection.signal, AbortSignal.timeout(time)]);
  return fetchJson(`${url}?${query}`, { signal });
}

async function poll() {
  connection = new AbortController();
  try {
    take(await ask({ wait: 0 }, LONGEST_ANSWER));
    connected();
    for (;;) {
      take(await ask({}, LONGEST_POLL));
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

// One after the other, so that they arrive in the order in which they were typed.
async function post() {
  const [own] = pending();
  if (posting || !own) {
    return;
  }
  posting = true;
  const body = new URLSearchParams({ id: own.id, new_message: own.text });
  const signal = AbortSignal.timeout(LONGEST_ANSWER);
  try {
    await fetchJson(url, { method: "POST", body, signal });
    sent(own);
  } catch (error) {
    console.info(error);
    if (error instanceof BadMessage) {
      failed([own]);
    } else if (error instanceof NotStored) {
      notStored();
      return;
    } else {
      // It may have been stored: only the answer got lost. When we are connected
      // again, we know, or ask with the same id.
      connection.abort(error);
      return;
    }
  } finally {
    posting = false;
  }
  post();
}

onSend(post);

poll();
