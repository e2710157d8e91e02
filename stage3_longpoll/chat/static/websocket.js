import { connected, connecting, disconnected, onSend, show } from "./room.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);
const TOO_LONG = 1009; // the close code for a message over the server's limit

let socket;

function connect() {
  connecting();
  socket = new WebSocket(url);
  socket.addEventListener("open", connected);
  socket.addEventListener("message", (event) => show(event.data));
  socket.addEventListener("close", (event) => {
    const reason = event.code === TOO_LONG ? "That was too long." : "Not connected.";
    disconnected(reason, connect);
  });
}

onSend((text) => socket.send(text));
connect();
