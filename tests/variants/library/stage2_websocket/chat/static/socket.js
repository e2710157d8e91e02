import { add, address, connected, keepTalking, onEnter } from "./page.js";

let socket;

onEnter((text) => {
    const open = socket.readyState === WebSocket.OPEN;
    if (open) socket.send(text);
    return open;
});

keepTalking(() => new Promise((lost) => {
    let good = false;
    socket = new WebSocket(address);
    socket.addEventListener("open", connected);
    socket.addEventListener("close", () => lost(good));
    socket.addEventListener("message", ({ data }) => {
        good = true;
        add(data);
    });
}));
