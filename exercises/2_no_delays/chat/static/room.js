// The room as you see it: the message list, the input box, the state of the
// connection. How the messages travel, this module does not know.

const status = document.getElementById("status");
const form = document.getElementById("chat-form");
const input = document.getElementById("message");
const button = form.querySelector("button");
const messages = document.getElementById("messages");
const delay = document.getElementById("delay");

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 30000;

const sentAt = new Map(); // when each own text was sent that is not yet shown

let wait = FIRST_WAIT;

export function show(text) {
  const item = document.createElement("li");
  // Never innerHTML: what somebody typed must stay text.
  item.textContent = text;
  messages.prepend(item);
  if (sentAt.has(text)) {
    const took = Math.round(performance.now() - sentAt.get(text));
    sentAt.delete(text);
    delay.textContent = `Your last message was here after ${took} ms.`;
  }
}

export function connected() {
  status.textContent = "Connected.";
  button.disabled = false;
}

// To be called when a connection has proved good. One that opens and breaks at once
// has not, and the waits go on growing.
export function settled() {
  wait = FIRST_WAIT;
}

export function disconnected(tryAgain) {
  if (document.activeElement === button) {
    input.focus(); // a disabled button would lose it
  }
  button.disabled = true;
  sentAt.clear(); // What was under way may be lost.
  // Some pages wait half as long as others: a thousand of them should not all
  // come back in the same moment.
  const pause = wait * (1 - Math.random() / 2);
  wait = Math.min(wait * 2, LONGEST_WAIT);
  status.textContent = `Not connected. Trying again in ${Math.ceil(pause / 1000)} s.`;
  setTimeout(tryAgain, pause);
}

export function shutOut() {
  button.disabled = true;
  status.textContent = "This page may no longer speak here. Load it again.";
}

export function onSend(send) {
  // While the button is disabled, Enter does not submit the form either.
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text && send(text)) {
      sentAt.set(text, performance.now());
      input.value = "";
    }
    input.focus();
  });
}

export function giveBack(text) {
  sentAt.delete(text);
  status.textContent = "That may not have been sent.";
  input.value = input.value ? `${text} ${input.value}` : text;
}

input.addEventListener("keydown", (event) => {
  // An Enter that ends the composing of a word, as in Japanese, is not for us.
  if (event.key === "Enter" && event.isComposing) {
    event.preventDefault();
  }
});
