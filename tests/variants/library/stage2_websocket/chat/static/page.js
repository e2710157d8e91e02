/* The page: what it shows, and when it asks whoever carries the messages. */

export const address = JSON.parse(document.querySelector("#address").textContent);

const log = document.querySelector("[role=log]");
const state = document.querySelector("[role=status]");
const box = document.querySelector("textarea");

export const tell = (words) => { state.textContent = words; };

export const connected = () => tell("You are connected.");

export function add(text) {
    const entry = Object.assign(document.createElement("li"), { textContent: text, dir: "auto" });
    log.insertAdjacentElement("afterbegin", entry);
}

const returned = [];

/* Puts a text back that could not be sent, as soon as nothing else is in the box. */
export function giveBack(text) {
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
        if (box.value.trim() && send(box.value)) box.value = "";
        offer();
    });
}

/* `talk` resolves when the connection is lost: to true if it was a good one. */
export async function keepTalking(talk) {
    for (let wait = 300; ; wait = Math.min(2 * wait, 20_000)) {
        if (await talk()) wait = 300;
        tell("You are not connected. Please wait.");
        const spread = wait * Math.random(); // not all pages at the same moment
        await new Promise((done) => setTimeout(done, wait + spread));
    }
}
