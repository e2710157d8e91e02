import {
  connected,
  disconnected,
  failed,
  next,
  notStored,
  onSend,
  settled,
  shutOut,
  slowDown,
  take,
  whereWeAre,
} from "./room.js";
import { anyServer, avoid } from "./servers.js";
import { Over, current, onRenewed, proved, refused } from "./token.js";

const NEVER_AGAIN = 4404; // the codes with which the server closes
const BAD_TOKEN = [4401, 4403, 4410];
const BAD_MESSAGE = [1009, 4400];
const LONGEST_ANSWER = 10000; // milliseconds: to what the server answers at once
const LONGEST_SILENCE = 20000; // before we ask whether anybody is there

let socket;
let token; // what we have said to it
let isIn;
let saying; // the message that was sent, and is not told back yet
let patience; // the timer of the answer that is due
let silence;

function connect() {
  isIn = false;
  saying = undefined;
  socket = new WebSocket(anyServer());
  socket.addEventListener("open", () => {
    token = current();
    socket.send(JSON.stringify({ token, ...whereWeAre() }));
  });
  socket.addEventListener("message", (event) => {
    const said = JSON.parse(event.data);
    clearTimeout(patience);
    clearTimeout(silence);
    silence = setTimeout(askWhoIsHere, LONGEST_SILENCE);
    if (said.status === 0) {
      saying = undefined;
      if ("retry_after" in said) {
        slowDown(said.retry_after, said.error); // It closes now.
      } else {
        notStored();
      }
      return;
    }
    take(said);
    if (!isIn && said.data) {
      isIn = true;
      proved();
      connected(); // The first one is what we missed: the token was good.
      sayToken();
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

// A room may be quiet for hours. A script hears nothing of the pings of the server, so
// it has to ask for something itself.
function askWhoIsHere() {
  socket.send(JSON.stringify({ here: true }));
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
  clearTimeout(silence);
  isIn = false;
  socket = undefined;
  if (code === NEVER_AGAIN) {
    shutOut();
    return;
  }
  if (BAD_TOKEN.includes(code)) {
    disconnected(connectWithAnother);
    return;
  }
  if (BAD_MESSAGE.includes(code) && saying) {
    failed(saying);
  }
  avoid(target.url);
  disconnected(connect);
}

async function connectWithAnother() {
  try {
    await refused(token);
  } catch (error) {
    console.info(error);
    if (error instanceof Over) {
      shutOut(error);
    } else {
      disconnected(connectWithAnother);
    }
    return;
  }
  connect();
}

// The next token is said on the same socket, and nothing is missed.
function sayToken() {
  if (isIn && token !== current()) {
    token = current();
    socket.send(JSON.stringify({ token }));
  }
}

onRenewed(sayToken);

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
