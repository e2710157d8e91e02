/* The page: what it shows, and when it asks whoever carries the messages. */

export const address = JSON.parse(document.querySelector("#address").textContent);

const log = document.querySelector("[role=log]");
const state = document.querySelector("[role=status]");
const box = document.querySelector("textarea");

export const tell = (words) => { state.textContent = words; };

export const connected = () => tell("You are connected.");

export function add(text) {
    const entry = Object.assign(document.createElement("li"), { textContent: text });
    log.insertAdjacentElement("afterbegin", entry);
}

/* Puts a text back that could not be sent. */
export function giveBack(text) {
    box.value = [text, box.value].filter(Boolean).join("\n");
}

/* `send` gets what is in the box when somebody presses Enter, and says if it took it. */
export function onEnter(send) {
    box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.shiftKey) return;
        event.preventDefault();
        const text = box.value.trim();
        if (!event.isComposing && text && send(text)) box.value = "";
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
