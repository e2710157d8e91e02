import { connected, disconnected, onSend, settled, show } from "./room.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);

let socket;

function connect() {
  socket = new WebSocket(url);
  socket.addEventListener("open", connected);
  socket.addEventListener("message", (event) => {
    settled();
    show(event.data);
  });
  socket.addEventListener("close", () => disconnected(connect));
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
