// The room as you see it: the message list, the input box, the state of the
// connection. How the messages travel, this module does not know.

const status = document.getElementById("status");
const form = document.getElementById("chat-form");
const input = document.getElementById("message");
const button = form.querySelector("button");
const messages = document.getElementById("messages");

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 30000;

let wait = FIRST_WAIT;

export function show(text) {
  const item = document.createElement("li");
  // Never innerHTML: what somebody typed must stay text.
  item.textContent = text;
  item.dir = "auto"; // Hebrew and Arabic begin at the right.
  messages.prepend(item);
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
  // Some pages wait half as long as others: a thousand of them should not all
  // come back in the same moment.
  const pause = wait * (1 - Math.random() / 2);
  wait = Math.min(wait * 2, LONGEST_WAIT);
  status.textContent = `Not connected. Trying again in ${Math.ceil(pause / 1000)} s.`;
  setTimeout(tryAgain, pause);
}

export function onSend(send) {
  // While the button is disabled, Enter does not submit the form either.
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value;
    if (text.trim() && send(text)) {
      input.value = "";
    }
    input.focus();
  });
}

input.addEventListener("keydown", (event) => {
  // An Enter that ends the composing of a word, as in Japanese, is not for us. Safari
  // says so by the key's number alone.
  const isComposing = event.isComposing || event.keyCode === 229;
  if (event.key === "Enter" && isComposing) {
    event.preventDefault();
  }
});
