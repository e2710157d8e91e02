import {
  connected,
  disconnected,
  failed,
  next,
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
const LONGEST_ANSWER = 10000; // milliseconds: to what the server answers at once

let socket;
let saying; // the message that was sent, and is not told back yet
let patience; // the timer of the answer that is due

function connect() {
  let isIn = false;
  saying = undefined;
  socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    socket.send(JSON.stringify({ token, ...whereWeAre() }));
  });
  socket.addEventListener("message", (event) => {
    const said = JSON.parse(event.data);
    clearTimeout(patience);
    if (said.status === 0) {
      saying = undefined;
      notStored();
      return;
    }
    take(said);
    if (!isIn) {
      isIn = true;
      connected(); // The first one is what we missed: the token was good.
    }
    settled();
    sayNext();
    if (saying) {
      expectAnswer();
    }
  });
  socket.addEventListener("close", lose);
  expectAnswer();
}

// A server that hangs closes nothing, and a socket waits for ever.
function expectAnswer() {
  clearTimeout(patience);
  patience = setTimeout(() => {
    const silent = socket;
    lose({ target: silent });
    silent.close();
  }, LONGEST_ANSWER);
}

function lose({ target, code }) {
  if (target !== socket) {
    return; // It was given up before.
  }
  clearTimeout(patience);
  socket = undefined;
  if (NEVER_AGAIN.includes(code)) {
    shutOut();
    return;
  }
  if (BAD_MESSAGE.includes(code) && saying) {
    failed(saying);
  }
  disconnected(connect);
}

// One after the other: if the server refuses one, this is it.
function sayNext() {
  const own = next();
  if (own && own !== saying) {
    // A socket that is closing takes a text without a word, and drops it. The message
    // is pending then, and is sent again.
    socket.send(JSON.stringify({ id: own.id, text: own.text }));
    expectAnswer();
  }
  saying = own;
}

onSend(sayNext);

connect();
