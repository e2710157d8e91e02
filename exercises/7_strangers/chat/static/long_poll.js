import {
  connected,
  disconnected,
  failed,
  next,
  notStored,
  onSend,
  sent,
  settled,
  shutOut,
  slowDown,
  take,
  whereWeAre,
} from "./room.js";
import { Over, current, proved, refused } from "./token.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);
const LONGEST_POLL = 35000; // milliseconds: the server ends a poll after 25 seconds
const LONGEST_ANSWER = 10000; // to what the server answers at once
// Of two equal requests, a browser may hold one back until the other is answered. So no
// two windows ask alike.
const WINDOW = Math.random();

let connection;
let posting = false;
let here = {}; // which list of who is here we know

class BadToken extends Error {
  constructor(token) {
    super("The chat server wants another token.");
    this.token = token;
  }
}
class NoRoom extends Error {}
class BadMessage extends Error {}
class NotStored extends Error {}

async function fetchJson(address, longest, options, controller) {
  const timer = setTimeout(() => controller.abort(), longest);
  const token = current();
  try {
    const { signal } = controller;
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch(address, { ...options, headers, signal });
    if (response.status === 401 && token !== current()) {
      // It has ended on the way, and there is another one already.
      return await fetchJson(address, longest, options, controller);
    }
    if (response.status === 401) {
      throw new BadToken(token);
    }
    if (response.status === 404) {
      throw new NoRoom("There is no such room.");
    }
    if (response.status === 400 || response.status === 413) {
      throw new BadMessage("The chat server does not take this message.");
    }
    if (response.status === 429 || response.status === 503) {
      // What stands between us and the server may say it, too, and in no JSON.
      const { error } = await response.json().catch(() => ({ error: "not now" }));
      slowDown(Number(response.headers.get("Retry-After")) || 1, error);
      throw new NotStored(error);
    }
    if (!response.ok) {
      throw new Error(`The chat server says ${response.status}.`);
    }
    const answer = await response.json();
    proved();
    return answer;
  } finally {
    clearTimeout(timer);
  }
}

async function ask(wait, longest) {
  const query = new URLSearchParams({
    ...whereWeAre(),
    ...here,
    ...wait,
    window: WINDOW,
  });
  const answer = await fetchJson(`${url}?${query}`, longest, {}, connection);
  if ("here_version" in answer) {
    here = { here: answer.here_version };
  }
  return answer;
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
    if (error instanceof NoRoom) {
      shutOut();
    } else if (error instanceof BadToken) {
      disconnected(() => pollWithAnother(error.token));
    } else {
      disconnected(poll);
    }
  }
}

async function pollWithAnother(token) {
  try {
    await refused(token);
  } catch (error) {
    console.info(error);
    if (error instanceof Over) {
      shutOut(error);
    } else {
      disconnected(() => pollWithAnother(token));
    }
    return;
  }
  poll();
}

// One after the other, so that they arrive in the order in which they were typed.
async function post() {
  const own = next();
  if (posting || !own) {
    return;
  }
  posting = true;
  const body = new URLSearchParams({ id: own.id, new_message: own.text });
  const options = { method: "POST", body };
  try {
    await fetchJson(url, LONGEST_ANSWER, options, new AbortController());
    sent(own);
  } catch (error) {
    console.info(error);
    if (error instanceof BadMessage) {
      failed(own);
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
