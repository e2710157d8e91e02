/* The page: what it shows, and when it asks whoever carries the messages. */

const given = (id) => JSON.parse(document.getElementById(id).textContent);

export const address = given("address");
export const ticket = given("chat-token");

let log = document.querySelector("[role=log]");
const state = document.querySelector("[role=status]");
const box = document.querySelector("textarea");

export const tell = (words) => { state.textContent = words; };

export const connected = () => tell("Connected.");

/* What this page has heard: {epoch, seq}, or nothing yet. */
export let cursor = {};

/* id -> {text, entry, since}: what was typed here and not told back yet. */
export const mine = new Map();
const entries = new Map(); // id -> its entry in the list

const make = (text) =>
    Object.assign(document.createElement("li"), { textContent: text, dir: "auto" });

/* Puts entries behind all others, in a new list, so that they are not read aloud. */
function quietly(put) {
    const shown = log;
    log = shown.cloneNode(false);
    put();
    log.prepend(...shown.childNodes);
    shown.replaceWith(log);
}

/* The newest stands first, behind what was typed here and has no place yet. */
function place(entry) {
    log.insertBefore(entry, log.querySelector(".placed"));
    entry.classList.add("placed");
}

/* Takes what the server tells; `moves` if it tells all up to there. */
export function hear(batch, moves = true) {
    if (cursor.epoch || !moves) take(batch, moves);
    else quietly(() => take(batch, moves)); // all that was said before
}

function take(batch, moves) {
    if (batch.reset) place(make("Here some messages may be missing."));
    for (const { id, seq, text } of batch.data) {
        told(id);
        const heard = batch.epoch === cursor.epoch && seq <= cursor.seq && !batch.reset;
        if (!moves || heard || placed(id)) continue;
        if (!entries.has(id)) entries.set(id, make(text));
        place(entries.get(id));
    }
    if (!moves) return;
    const on = batch.epoch === cursor.epoch && !batch.reset;
    cursor = { epoch: batch.epoch, seq: on ? Math.max(cursor.seq, batch.seq) : batch.seq };
}

const placed = (id) => entries.get(id)?.classList.contains("placed");

function told(id) {
    const own = mine.get(id);
    if (!own) return;
    mine.delete(id);
    own.entry.dataset.state = "sent";
    const delay = Math.round(performance.now() - own.since);
    document.querySelector("#delay").textContent = `Back after ${delay} ms`;
}

/* The server does not want it. */
export function fail(id) {
    const own = mine.get(id);
    if (!own) return;
    mine.delete(id);
    own.entry.dataset.state = "failed";
    const button = (textContent, onclick) => {
        const made = document.createElement("button");
        own.entry.append(" ", Object.assign(made, { textContent, onclick }));
    };
    button("Send again", () => {
        own.entry.replaceChildren(own.text);
        own.entry.dataset.state = "pending";
        mine.set(id, own);
        sendMine();
    });
    button("Remove", () => own.entry.remove());
}

let ended = false;

let sendMine;

addEventListener("beforeunload", (event) => {
    const failed = document.querySelector("[data-state=failed]");
    if (mine.size || failed) event.preventDefault();
});

/* `send` is called when somebody presses Enter, and something new is in `mine`. */
export function onEnter(send) {
    sendMine = send;
    box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.shiftKey) return;
        event.preventDefault();
        const text = box.value;
        if (event.isComposing || event.keyCode === 229 || !text.trim() || ended) return;
        box.value = "";
        const id = crypto.randomUUID();
        const entry = make(text);
        entry.dataset.state = "pending";
        log.prepend(entry);
        entries.set(id, entry);
        mine.set(id, { text, entry, since: performance.now() });
        send();
    });
}

/* Thrown by who was not let in, and need not come again. */
export class NotLetIn extends Error {}

/*
 * `talk` resolves when the connection is lost: to true if it was a good one. If it throws
 * that it was not let in, that is the end.
 */
export async function keepTalking(talk) {
    for (let wait = 300; ; wait = Math.min(2 * wait, 20_000)) {
        try {
            if (await talk()) wait = 300;
        } catch (error) {
            if (!(error instanceof NotLetIn)) throw error;
            tell("You are not let in. Please load this page again.");
            [...mine.keys()].forEach(fail);
            ended = true;
            return;
        }
        tell("You are not connected. Please wait.");
        const anyTime = wait * Math.random();
        await new Promise((done) => setTimeout(done, anyTime));
    }
}
