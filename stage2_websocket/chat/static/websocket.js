const url = JSON.parse(document.getElementById("chat-url").textContent);
const status = document.getElementById("status");
const form = document.getElementById("chat-form");
const input = document.getElementById("message");
const button = form.querySelector("button");
const messages = document.getElementById("messages");

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 30000;

let socket;
let wait = FIRST_WAIT;

function connect() {
  status.textContent = "Connecting…";
  socket = new WebSocket(url);
  socket.addEventListener("open", opened);
  socket.addEventListener("message", received);
  socket.addEventListener("close", closed);
}

function opened() {
  wait = FIRST_WAIT;
  status.textContent = "Connected.";
  button.disabled = false;
}

function received(event) {
  const item = document.createElement("li");
  // Never innerHTML: what somebody typed must stay text.
  item.textContent = event.data;
  messages.prepend(item);
}

function closed(event) {
  button.disabled = true;
  // Up to half as long again, so that a thousand pages do not all come back
  // in the same moment.
  const pause = wait * (1 + Math.random() / 2);
  wait = Math.min(wait * 2, LONGEST_WAIT);
  const seconds = Math.ceil(pause / 1000);
  const reason = event.code === 1009 ? "That message was too long" : "Not connected";
  status.textContent = `${reason}. Trying again in ${seconds} s.`;
  setTimeout(connect, pause);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (text) {
    socket.send(text);
    input.value = "";
  }
});

input.addEventListener("keydown", (event) => {
  // This Enter ends the composing of a word, in Japanese for example.
  if (event.key === "Enter" && event.isComposing) {
    event.preventDefault();
  }
});

connect();
