/* The page: what it shows, and when it asks whoever carries the messages. */

const given = (id) => JSON.parse(document.getElementById(id).textContent);

export const address = given("address");
export const ticket = given("chat-token");

const log = document.querySelector("[role=log]");
const state = document.querySelector("[role=status]");
const box = document.querySelector("textarea");

export const tell = (words) => { state.textContent = words; };

export const connected = () => tell("You are connected.");

/* text -> when it was sent */
const underway = new Map();

function stopWatch(text) {
    if (!underway.has(text)) return;
    const delay = Math.round(performance.now() - underway.get(text));
    underway.delete(text);
    document.querySelector("#delay").textContent = `Back after ${delay} ms`;
}

export function add(text) {
    stopWatch(text);
    const entry = Object.assign(document.createElement("li"), { textContent: text, dir: "auto" });
    log.insertAdjacentElement("afterbegin", entry);
}

const returned = [];

/* Puts a text back that could not be sent, as soon as nothing else is in the box. */
export function giveBack(text) {
    underway.delete(text);
    returned.push(text);
    offer();
}

function offer() {
    if (!box.value && returned.length) box.value = returned.shift();
}

/* `send` gets what is in the box when somebody presses Enter, and says if it took it. */
export function onEnter(send) {
    box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.shiftKey) return;
        event.preventDefault();
        if (event.isComposing || event.keyCode === 229) return;
        if (box.value.trim() && send(box.value)) {
            underway.set(box.value, performance.now());
            box.value = "";
        }
        offer();
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
            return;
        }
        underway.clear();
        tell("You are not connected. Please wait.");
        const spread = wait * Math.random(); // not all pages at the same moment
        await new Promise((done) => setTimeout(done, wait + spread));
    }
}
