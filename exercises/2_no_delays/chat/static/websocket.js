import {
  connected,
  disconnected,
  onSend,
  settled,
  show,
  shutOut,
} from "./room.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);
const token = JSON.parse(document.getElementById("chat-token").textContent);
const BAD_TOKEN = [4401, 4410]; // the codes with which the server closes

let socket;

function connect() {
  socket = new WebSocket(url);
  socket.addEventListener("open", () => socket.send(token));
  socket.addEventListener("message", (event) => {
    connected(); // The first one is the greeting: the token was good.
    settled();
    show(event.data);
  });
  socket.addEventListener("close", (event) => {
    if (BAD_TOKEN.includes(event.code)) {
      shutOut();
    } else {
      disconnected(connect);
    }
  });
}

onSend((text) => {
  // A socket that is closing takes a text without a word, and drops it.
  const open = socket.readyState === WebSocket.OPEN;
  if (open) {
    socket.send(text);
  }
  return open;
});

connect();
