import {
    NotLetIn, address, connected, cursor, fail, hear, keepTalking, mine, onEnter, ticket,
} from "./page.js";

const NO_TICKET = [4401, 4410];
const NO_MESSAGE = [1009, 4400];
const PATIENCE = 10_000; // milliseconds until the server has to have answered

let socket, inside, saying, alarm;

/* One after the other: the one that the server does not want is the last. */
function sayNext() {
    if (!inside || saying || !mine.size || socket.readyState !== WebSocket.OPEN) return;
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

keepTalking(() => new Promise((lost, refused) => {
    inside = saying = null;
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
        if (NO_TICKET.includes(code)) refused(new NotLetIn());
        else lost(good);
    });
    socket.addEventListener("message", ({ data }) => {
        if (socket !== mySocket) return;
        clearTimeout(alarm);
        hear(JSON.parse(data));
        if (!inside) connected();
        inside = true;
        if (mine.has(saying)) expect();
        else saying = null;
        sayNext();
    });
}));
