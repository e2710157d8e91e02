// The room as you see it: the message list, the input box, the state of the
// connection. How the messages travel, this module does not know.

const status = document.getElementById("status");
const form = document.getElementById("chat-form");
const input = document.getElementById("message");
const button = form.querySelector("button");
const outbox = document.getElementById("outbox");
const delay = document.getElementById("delay");

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 30000;

const shown = new Set(); // the ids of the messages in the list
const unheard = new Map(); // own messages that are not in the list yet, by id

let cursor = {}; // where this page stands: the epoch and the number of the newest
let messages = document.getElementById("messages");
let online = false;
let wait = FIRST_WAIT;
let send;

export function whereWeAre() {
  return cursor;
}

// Show what is new in a batch, and move the cursor.
export function take({ epoch, seq, reset, data }) {
  if (reset) {
    addLine("Some messages may be missing here.");
  }
  if (cursor.epoch) {
    data.forEach(show);
  } else {
    showSilently(data);
  }
  // What was sent twice is told twice: with its old number, which is no step back.
  if (reset || cursor.epoch !== epoch || cursor.seq < seq) {
    cursor = { epoch, seq };
  }
}

function makeItem(text) {
  const item = document.createElement("li");
  // Never innerHTML: what somebody typed must stay text.
  item.textContent = text;
  item.dir = "auto"; // Hebrew and Arabic begin at the right.
  return item;
}

function addLine(text) {
  const item = makeItem(text);
  messages.prepend(item);
  return item;
}

// A screen reader reads out what is added to the log, and nobody wants to hear two
// hundred old messages. They come in a new log, which has them from the beginning.
function showSilently(data) {
  const log = messages.parentElement;
  const another = log.cloneNode(true);
  messages = another.querySelector("#messages");
  data.forEach(show);
  log.replaceWith(another);
}

function show({ id, text }) {
  if (shown.has(id)) {
    return;
  }
  shown.add(id);
  const item = addLine(text);
  const own = unheard.get(id);
  if (own) {
    unheard.delete(id);
    own.item.remove();
    item.dataset.state = "sent";
    const took = Math.round(performance.now() - own.typedAt);
    delay.textContent = `Your last message was here after ${took} ms.`;
  }
}

// To be called when the server has told what we missed, and then as often as you like.
export function connected() {
  status.textContent = "Connected.";
  if (!online) {
    online = true;
    // Of these the server has not told us, so it may not have them.
    const again = [...unheard.values()].filter((own) => !isFailed(own));
    again.forEach((own) => setState(own, "pending"));
    send();
  }
}

// To be called when a connection has proved good. One that opens and breaks at once
// has not, and the waits go on growing.
export function settled() {
  wait = FIRST_WAIT;
}

export function disconnected(tryAgain) {
  online = false;
  // Any pause up to `wait`: a thousand pages should not all come back in the same
  // moment.
  const pause = wait * Math.random();
  wait = Math.min(wait * 2, LONGEST_WAIT);
  status.textContent = `Not connected. Trying again in ${Math.ceil(pause / 1000)} s.`;
  setTimeout(tryAgain, pause);
}

export function shutOut() {
  online = false;
  if (document.activeElement === button) {
    input.focus(); // a disabled button would lose it
  }
  button.disabled = true;
  status.textContent = "This page may no longer speak here. Load it again.";
  pending().forEach((own) => setState(own, "failed"));
}

// The states of an own message: pending, sent, failed.
function setState({ item }, state) {
  item.dataset.state = state;
}

function isFailed({ item }) {
  return item.dataset.state === "failed";
}

function pending() {
  return [...unheard.values()].filter(({ item }) => item.dataset.state === "pending");
}

// The message that is to be sent next, if any.
export function next() {
  return online ? pending()[0] : undefined;
}

export function sent(own) {
  setState(own, "sent");
}

// To be called when the server refused a message. What to do is the writer's choice.
export function failed(own) {
  setState(own, "failed");
  addButton(own, "Try again", () => {
    own.item.textContent = own.text;
    setState(own, "pending");
    if (online) {
      send();
    }
  });
  addButton(own, "Remove", () => {
    unheard.delete(own.id);
    own.item.remove();
  });
}

function addButton({ item }, label, act) {
  const choice = document.createElement("button");
  choice.type = "button";
  choice.textContent = label;
  choice.addEventListener("click", () => {
    act();
    input.focus(); // or the focus would vanish with the button
  });
  item.append(" ", choice);
}

export function onSend(how) {
  send = how;
  button.disabled = false;
  // While the button is disabled, Enter does not submit the form either.
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value;
    if (text.trim()) {
      write(text);
      input.value = "";
    }
    input.focus();
  });
}

function write(text) {
  const item = makeItem(text);
  outbox.prepend(item);
  // Nobody else's message has this id. By it, the server knows one that it has.
  const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const own = { id, text, item, typedAt: performance.now() };
  setState(own, "pending");
  unheard.set(id, own);
  if (online) {
    send();
  }
}

// Nobody else knows of these. The browser asks whether you mean to leave them behind.
addEventListener("beforeunload", (event) => {
  if ([...unheard.values()].some(({ item }) => item.dataset.state !== "sent")) {
    event.preventDefault();
    event.returnValue = true; // the same for browsers of before 2024
  }
});

input.addEventListener("keydown", (event) => {
  // An Enter that ends the composing of a word, as in Japanese, is not for us. Safari
  // says so by the key's number alone.
  const isComposing = event.isComposing || event.keyCode === 229;
  if (event.key === "Enter" && isComposing) {
    event.preventDefault();
  }
});
