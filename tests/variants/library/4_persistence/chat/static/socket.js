import {
    NotLetIn, address, connected, cursor, fail, hear, keepTalking, mine, notStored, onEnter, ticket,
} from "./page.js";

const NO_TICKET = [4401, 4410];
const NO_MESSAGE = [1009, 4400];
const PATIENCE = 10_000; // milliseconds until the server has to have answered

let socket, inside, saying, alarm;
let late, timer; // what could not be stored, and when it is said again
let wait = 300;

/* One after the other: the one that the server does not want is the last. */
function sayNext() {
    if (!inside || saying || late || !mine.size || socket.readyState !== WebSocket.OPEN) return;
    const [[id, { text }]] = mine;
    saying = id;
    socket.send(JSON.stringify({ id, text }));
    expect();
}

/* If nothing comes, the connection is as good as closed. */
function expect() {
    clearTimeout(alarm);
    const silent = socket;
    alarm = setTimeout(() => {
        silent.close();
        silent.dispatchEvent(new CloseEvent("close", { code: 1006 }));
    }, PATIENCE);
}

onEnter(sayNext);

/* What could not be stored is said again after a while, whatever others say. */
function tryAgain() {
    if (!saying) return;
    notStored();
    [late, saying] = [saying, null];
    timer = setTimeout(() => {
        late = null;
        sayNext();
    }, wait * (0.5 + Math.random()));
    wait = Math.min(2 * wait, 20_000);
}

/* Something of ours is stored. */
function stored() {
    clearTimeout(timer);
    saying = late = null;
    wait = 300;
}

keepTalking(() => new Promise((lost, refused) => {
    clearTimeout(timer);
    inside = saying = late = null;
    const mySocket = new WebSocket(address);
    socket = mySocket;
    expect();
    socket.addEventListener("open", () => {
        mySocket.send(JSON.stringify({ token: ticket, ...cursor }));
    });
    socket.addEventListener("close", ({ code }) => {
        if (socket !== mySocket) return;
        clearTimeout(alarm);
        const good = inside;
        inside = null;
        if (saying && NO_MESSAGE.includes(code)) fail(saying);
        if (code === 4404) refused(new NotLetIn("This room is gone."));
        else if (NO_TICKET.includes(code)) refused(new NotLetIn());
        else lost(good);
    });
    socket.addEventListener("message", ({ data }) => {
        if (socket !== mySocket) return;
        clearTimeout(alarm);
        const told = JSON.parse(data);
        if (!told.status) {
            tryAgain();
            return;
        }
        hear(told);
        if (!inside) connected();
        inside = true;
        const own = saying || late;
        if (own && !mine.has(own)) stored();
        if (saying) expect();
        sayNext();
    });
}));
