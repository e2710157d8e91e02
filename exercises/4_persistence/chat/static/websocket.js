import {
  connected,
  disconnected,
  failed,
  notStored,
  onSend,
  settled,
  shutOut,
  take,
  whereWeAre,
} from "./room.js";

const url = JSON.parse(document.getElementById("chat-url").textContent);
const token = JSON.parse(document.getElementById("chat-token").textContent);
const NEVER_AGAIN = [4401, 4404, 4410]; // the codes with which the server closes
const BAD_MESSAGE = [1009, 4400];

let socket;

function connect() {
  let isIn = false;
  socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    socket.send(JSON.stringify({ token, ...whereWeAre() }));
  });
  socket.addEventListener("message", (event) => {
    const said = JSON.parse(event.data);
    if (said.status === 0) {
      notStored();
      return;
    }
    take(said);
    if (!isIn) {
      isIn = true;
      connected(); // The first one is what we missed: the token was good.
    }
    settled();
  });
  socket.addEventListener("close", (event) => {
    if (NEVER_AGAIN.includes(event.code)) {
      shutOut();
      return;
    }
    if (BAD_MESSAGE.includes(event.code)) {
      failed();
    }
    disconnected(connect);
  });
}

onSend(({ id, text }) => {
  // A socket that is closing takes a text without a word, and drops it. The message is
  // pending then, and is sent again.
  socket.send(JSON.stringify({ id, text }));
});

connect();
