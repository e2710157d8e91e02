// The room as you see it: the message list, the input box, the state of the
// connection. How the messages travel, this module does not know.

import { keep, kept } from "./kept.js";
import { stop } from "./token.js";

const status = document.getElementById("status");
const form = document.getElementById("chat-form");
const input = document.getElementById("message");
const button = form.querySelector("button");
const outbox = document.getElementById("outbox");
const delay = document.getElementById("delay");
const earlier = document.getElementById("earlier");
const newer = document.getElementById("newer");
const here = document.getElementById("here");
const me = JSON.parse(document.getElementById("chat-user").textContent);

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 30000;
const LONGEST_ANSWER = 10000; // to what Django answers at once
const BETWEEN_MARKS = 5000; // for Django, which remembers how far we have read
const LOAD = earlier.textContent;
const TITLE = document.title;
const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const CALENDAR = new Intl.DateTimeFormat([], { dateStyle: "full" });

const shown = new Set(); // the ids of the messages in the list
const unheard = new Map(); // own messages that are not in the list yet, by id

let cursor = {}; // where this page stands: the epoch and the number of the newest
let oldest = Infinity; // the number with which the list begins
let messages = document.getElementById("messages");
let online = false;
let wait = FIRST_WAIT;
let attempt; // the timer of the next one
let isLoading = false; // earlier messages
let isOver = false; // This page speaks no more.
let trouble = ""; // what is wrong although we are connected
let notBefore = 0; // when the server wants to hear of us again
let advice = ""; // it says so
let hidden = 0; // messages that came while nobody saw this window
let above = 0; // messages that came while somebody read further down
let marked = cursor; // how far Django knows that we have read
let isMarking = false; // We have told it just now.
let send;

export function whereWeAre() {
  return cursor;
}

// Show what is new in a batch, and move the cursor. Or show who is here, or both.
export function take({ epoch, seq, reset, data, here: people }) {
  if (people) {
    showPeople(people);
  }
  if (!data) {
    return;
  }
  if (reset) {
    addLine(make("li", "Some messages may be missing here."));
  }
  if (reset || !cursor.epoch) {
    // In another log the numbers begin anew, and what comes is news all the same.
    oldest = Math.min(oldest, data.length ? data[0].seq : seq + 1);
    earlier.hidden = oldest === 1;
  }
  if (cursor.epoch) {
    showNews(data);
  } else {
    showSilently(data);
  }
  if (data.length && trouble) {
    trouble = ""; // Something new was stored.
    if (online) {
      showConnected();
    }
  }
  // What was sent twice is told twice: with its old number, which is no step back.
  if (reset || cursor.epoch !== epoch || cursor.seq < seq) {
    cursor = { epoch, seq };
  }
  mark();
}

function make(name, text, className = "") {
  const element = document.createElement(name);
  // Never innerHTML: what somebody typed must stay text. Names are typed, too.
  element.textContent = text;
  element.className = className;
  element.dir = "auto"; // Hebrew and Arabic begin at the right.
  return element;
}

// A line of the list. It stands below the day on which it was said.
function addLine(item, isEarlier, day = "") {
  const end = isEarlier ? messages.lastElementChild : messages.firstElementChild;
  const isSameDay = end && (!day || end.dataset.day === day);
  item.dataset.day = day || end?.dataset.day || "";
  if (isEarlier) {
    // below, so nothing moves that somebody is reading
    messages.append(...(isSameDay || !day ? [] : [makeDay(day)]), item);
  } else if (end?.className === "day" && isSameDay) {
    end.after(item);
  } else {
    messages.prepend(...(day ? [makeDay(day)] : []), item);
  }
}

function makeDay(day) {
  const [year, month, date] = day.split("-").map(Number);
  const time = make("time", CALENDAR.format(new Date(year, month - 1, date)));
  time.dateTime = day;
  time.lang = CALENDAR.resolvedOptions().locale;
  const item = make("li", "", "day");
  item.dataset.day = day;
  item.append(time);
  return item;
}

// The day on which somebody here would say that it was: 2026-11-28.
function dayOf(when) {
  const two = (number) => String(number).padStart(2, "0");
  const [month, date] = [when.getMonth() + 1, when.getDate()];
  return `${when.getFullYear()}-${two(month)}-${two(date)}`;
}

function nameOf({ id, name }) {
  const element = make("bdi", name, "name");
  // In words: not everybody sees a colour, or where a line stands.
  return id === me ? [element, " (you)"] : [element];
}

function makeMessage({ text, author, said_at }) {
  const item = make("li", "");
  const head = make("p", "", "head");
  if (author) {
    head.append(...nameOf(author), " ");
    item.classList.toggle("own", author.id === me);
  }
  if (said_at) {
    const time = make("time", CLOCK.format(new Date(said_at)));
    time.dateTime = said_at;
    time.lang = CLOCK.resolvedOptions().locale;
    head.append(time);
  }
  item.append(head, make("p", text, "text"));
  return item;
}

function showPeople(people) {
  const items = people.map((person) => {
    const item = document.createElement("li");
    item.append(...nameOf(person));
    return item;
  });
  withoutPushing(() => {
    here.hidden = false;
    here.replaceChildren(...items);
  });
}

// Who reads further down goes on reading there, whatever changes above.
function withoutPushing(change) {
  const isAbove = isAboveTheWindow();
  const before = messages.getBoundingClientRect().bottom;
  change();
  if (isAbove) {
    scrollBy(0, messages.getBoundingClientRect().bottom - before);
  }
}

// Messages that somebody hears now.
function showNews(data) {
  const isAbove = isAboveTheWindow();
  let news;
  withoutPushing(() => {
    news = data.filter((message) => show(message) && message.author?.id !== me);
  });
  if (isAbove) {
    above += news.length;
  }
  if (document.hidden) {
    hidden += news.length;
  }
  showCounts();
}

function isAboveTheWindow() {
  return messages.getBoundingClientRect().top < 0;
}

function showCounts() {
  document.title = hidden ? `(${hidden}) ${TITLE}` : TITLE;
  newer.hidden = !above;
  newer.textContent = `${above} new ${above === 1 ? "message" : "messages"}`;
}

newer.addEventListener("click", () => {
  above = 0;
  input.focus(); // It stands on top, and the button goes.
  scrollTo(0, 0);
  showCounts();
  mark();
});

addEventListener("scroll", () => {
  if (above && !isAboveTheWindow()) {
    above = 0;
    showCounts();
    mark();
  }
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    hidden = 0;
    showCounts();
    mark();
  }
});

// Tell Django how far we have read, until it knows: at once, and then every few seconds
// at most.
async function mark() {
  if (document.hidden || above || isOver || isMarking || marked === cursor) {
    return;
  }
  isMarking = true;
  const read = cursor;
  try {
    const response = await fetch(messages.dataset.url, {
      method: "POST",
      headers: { "X-CSRFToken": csrf() },
      body: new URLSearchParams({ seq: read.seq }),
      keepalive: true, // also when this page is being left
    });
    if (!response.ok) {
      throw new Error(`Django says ${response.status}.`);
    }
    // Django may not have the newest messages yet.
    const { seq } = await response.json();
    marked = seq < read.seq ? marked : read;
  } catch (error) {
    console.info(error);
  }
  setTimeout(() => {
    isMarking = false;
    mark();
  }, BETWEEN_MARKS);
}

// Each login has another one. The page would have that of the login that loaded it.
function csrf() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? "";
}

// What is read in the last seconds before somebody leaves.
addEventListener("pagehide", () => {
  isMarking = false;
  mark();
});

// A screen reader reads out what is added to the log, and nobody wants to hear two
// hundred old messages. They come in a new log, which has them from the beginning.
function showSilently(data, isEarlier) {
  const log = messages.parentElement;
  const another = log.cloneNode(true);
  messages = another.querySelector("#messages");
  data.forEach((message) => show(message, isEarlier));
  log.replaceWith(another);
}

// Returns whether it is in the list now, and was not before.
function show(message, isEarlier) {
  const { id, seq, said_at } = message;
  if (shown.has(id)) {
    return false;
  }
  const own = unheard.get(id);
  if (own) {
    forget(own);
  }
  if (seq < oldest) {
    return false; // It was told once more, and comes with the earlier ones around it.
  }
  shown.add(id);
  const item = makeMessage(message);
  addLine(item, isEarlier, said_at && dayOf(new Date(said_at)));
  if (own) {
    item.dataset.state = "sent";
    if (own.typedAt) {
      const took = Math.round(performance.now() - own.typedAt);
      delay.textContent = `Your last message was here after ${took} ms.`;
    }
  }
  return true;
}

// To be called when the server has told what we missed.
export function connected() {
  online = true;
  showConnected();
  // Of these the server has not told us, so it may not have them.
  const again = [...unheard.values()].filter((own) => !isFailed(own));
  again.forEach((own) => setState(own, "pending"));
  send();
}

function showConnected() {
  status.textContent = trouble || "Connected.";
}

// To be called when a connection has proved good. One that opens and breaks at once
// has not, and the waits go on growing.
export function settled() {
  if (online) {
    wait = FIRST_WAIT;
  }
}

export function disconnected(tryAgain) {
  here.hidden = true; // Who is here, nobody tells us now.
  tryLater(tryAgain, mustWait() > 0 ? advice : "Not connected.");
}

// To be called when the server says that something was too much, and for how many
// seconds it wants to be left alone.
export function slowDown(seconds, error) {
  notBefore = performance.now() + 1000 * (seconds + Math.random());
  advice = `The server says: ${error}.`;
}

function mustWait() {
  return notBefore - performance.now();
}

function tryLater(tryAgain, why) {
  online = false;
  // Any pause up to `wait`: a thousand pages should not all come back in the same
  // moment.
  const pause = Math.max(wait * Math.random(), mustWait());
  wait = Math.min(wait * 2, LONGEST_WAIT);
  status.textContent = `${why} Trying again in ${Math.ceil(pause / 1000)} s.`;
  clearTimeout(attempt);
  attempt = setTimeout(tryAgain, pause);
}

// To be called when the server could not store what was sent: it stays pending.
export function notStored() {
  trouble = mustWait() > 0 ? advice : "The server cannot store messages now.";
  if (online) {
    tryLater(connected, trouble);
  }
}

// To be called when no other try will help. Who is logged out may log in.
export function shutOut({ message, mayLogIn } = {}) {
  online = false;
  here.hidden = true;
  stop();
  clearTimeout(attempt);
  if (document.activeElement === button) {
    input.focus(); // a disabled button would lose it
  }
  button.disabled = true;
  status.textContent =
    message || "This page may no longer speak here. Load it again.";
  if (mayLogIn) {
    const link = make("a", "Log in again");
    link.href = status.dataset.login;
    status.append(" ", link);
  }
  pending().forEach((own) => setState(own, "failed"));
  isOver = true;
}

// The states of an own message: pending, sent, failed.
function setState({ item }, state) {
  item.dataset.state = state;
}

function isFailed({ item }) {
  return item.dataset.state === "failed";
}

function pending() {
  return [...unheard.values()].filter(({ item }) => item.dataset.state === "pending");
}

// The message that is to be sent next, if any.
export function next() {
  return online ? pending()[0] : undefined;
}

export function sent(own) {
  setState(own, "sent");
}

// To be called when the server refused a message. What to do is the writer's choice.
export function failed(own) {
  setState(own, "failed");
  own.isRefused = true;
  keepUnheard();
  addButton(own, "Try again", () => {
    own.item.textContent = own.text;
    setState(own, "pending");
    own.isRefused = false;
    keepUnheard();
    if (online) {
      send();
    }
  });
  addButton(own, "Remove", () => forget(own));
}

function forget(own) {
  unheard.delete(own.id);
  own.item.remove();
  keepUnheard();
}

function keepUnheard() {
  const told = ({ id, text, isRefused }) => ({ id, text, isRefused });
  keep("unheard", [...unheard.values()].map(told));
}

function addButton({ item }, label, act) {
  const choice = document.createElement("button");
  choice.type = "button";
  choice.textContent = label;
  choice.addEventListener("click", () => {
    act();
    input.focus(); // or the focus would vanish with the button
  });
  item.append(" ", choice);
}

export function onSend(how) {
  send = how;
  button.disabled = false;
  kept("unheard", []).forEach(putInOutbox);
  keepUnheard(); // all of them: one that was refused has kept those before it only
  // While the button is disabled, Enter does not submit the form either.
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value;
    if (text.trim()) {
      write(text);
      input.value = "";
      keep("draft", "");
    }
    input.focus();
  });
}

function write(text) {
  // Nobody else's message has this id. By it, the server knows one that it has.
  const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  putInOutbox({ id, text, typedAt: performance.now() });
  keepUnheard();
  if (online) {
    send();
  }
}

// What was kept over a reload has its id still, so it is said once, whatever happened.
function putInOutbox({ id, text, typedAt, isRefused }) {
  const own = { id, text, typedAt, item: make("li", text) };
  outbox.prepend(own.item);
  unheard.set(id, own);
  if (isRefused) {
    failed(own);
  } else {
    setState(own, "pending");
  }
}

input.value ||= kept("draft", "");
input.addEventListener("input", () => keep("draft", input.value));

// Nobody else knows of these. The browser asks whether you mean to leave them behind. If
// you go to log in, you will be back.
addEventListener("beforeunload", (event) => {
  const isUnheard = ({ item }) => item.dataset.state !== "sent";
  if (!isOver && [...unheard.values()].some(isUnheard)) {
    event.preventDefault();
    event.returnValue = true; // the same for browsers of before 2024
  }
});

input.addEventListener("keydown", (event) => {
  // An Enter that ends the composing of a word, as in Japanese, is not for us. Safari
  // says so by the key's number alone.
  const isComposing = event.isComposing || event.keyCode === 229;
  if (event.key === "Enter" && isComposing) {
    event.preventDefault();
  }
});

earlier.addEventListener("click", async () => {
  if (isLoading) {
    return; // A disabled button would lose the focus.
  }
  isLoading = true;
  const url = `${earlier.dataset.url}?before=${oldest}`;
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), LONGEST_ANSWER);
  try {
    const response = await fetch(url, { signal: controller.signal });
    if (!response.ok) {
      throw new Error(`Django says ${response.status}.`);
    }
    const { more, data, last } = await response.json();
    if (last < oldest - 1) {
      throw new Error("Some messages are not in the database yet.");
    }
    const hadFocus = document.activeElement === earlier;
    oldest = data.length ? data[0].seq : oldest;
    showSilently(data.reverse(), true);
    earlier.hidden = !more;
    if (hadFocus && !more) {
      // Or the focus would vanish with the button. Who reads here stays here.
      input.focus({ preventScroll: true });
    }
    earlier.textContent = LOAD;
  } catch (error) {
    console.info(error);
    earlier.textContent = `${LOAD} (that failed, try again)`;
  } finally {
    clearTimeout(timer);
    isLoading = false;
  }
});
