// The token says who we are, and it ends soon. Here the next one is fetched from Django,
// while there is a login.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const LONGEST_ANSWER = 10000; // milliseconds: to what Django answers at once
const LONGEST_TIMER = 2 ** 31 - 1; // Of a longer one a browser makes one that is over.
const url = read("chat-renew");
const me = read("chat-user");

let token = read("chat-token");
let seconds = read("chat-seconds"); // that it lives
let newUntil = 0; // till then it should be good, if the chat server has not seen it yet
let isStopped = false;
let asking; // a promise, while we wait for the next one
let timer;
let tell = () => {};

// There will be no other token: nobody is logged in, or somebody else, or the room is
// closed to you.
export class Over extends Error {
  constructor(message, mayLogIn) {
    super(message);
    this.mayLogIn = mayLogIn;
  }
}

export function current() {
  return token;
}

// To be called when the chat server has taken the token.
export function proved() {
  newUntil = 0;
}

// To be called when the chat server has refused a token. Resolves when there is another
// one, and rejects with Over when there will be none.
export async function refused(one) {
  if (one !== token) {
    return; // There is another one already.
  }
  if (Date.now() < newUntil) {
    throw new Over();
  }
  await renew();
  newUntil = Date.now() + seconds * 1000;
}

// `then` is called when there is another one, before the old one ends.
export function onRenewed(then) {
  tell = then;
}

export function stop() {
  isStopped = true;
  clearTimeout(timer);
}

function renew() {
  asking ??= ask().finally(() => {
    asking = undefined;
  });
  return asking;
}

async function ask() {
  const controller = new AbortController();
  const patience = setTimeout(() => controller.abort(), LONGEST_ANSWER);
  try {
    const { signal } = controller;
    const response = await fetch(url, { cache: "no-store", signal });
    if (response.status === 401) {
      throw new Over("You are logged out, and can no longer speak here.", true);
    }
    if (response.status === 404) {
      throw new Over("This room is no longer open to you.");
    }
    if (!response.ok) {
      throw new Error(`Django says ${response.status}.`);
    }
    const given = await response.json();
    if (given.user !== me) {
      // All tabs share the cookies. We do not speak in anybody else's name.
      throw new Over("Somebody else is logged in here now.", true);
    }
    ({ token, seconds } = given);
    schedule(seconds * (0.5 + Math.random() / 4)); // not all pages in the same moment
    tell();
  } finally {
    clearTimeout(patience);
  }
}

function schedule(pause) {
  clearTimeout(timer);
  if (isStopped) {
    return;
  }
  timer = setTimeout(async () => {
    try {
      await renew();
    } catch (error) {
      console.info(error);
      // The old one is good for a while. Without a login no other will come: we go on
      // as long as it lasts.
      if (!(error instanceof Over)) {
        schedule(seconds / 20);
      }
    }
  }, Math.min(pause * 1000, LONGEST_TIMER));
}

schedule(seconds * (0.5 + Math.random() / 4));
