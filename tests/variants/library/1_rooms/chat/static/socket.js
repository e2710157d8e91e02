import { NotLetIn, add, address, connected, keepTalking, onEnter, ticket } from "./page.js";

const NO_TICKET = [4401, 4410];

let socket, inside;

onEnter((text) => {
    const open = inside && socket.readyState === WebSocket.OPEN;
    if (open) socket.send(text);
    return open;
});

keepTalking(() => new Promise((lost, refused) => {
    inside = false;
    socket = new WebSocket(address);
    socket.addEventListener("open", () => socket.send(ticket));
    socket.addEventListener("close", ({ code }) => {
        if (NO_TICKET.includes(code)) refused(new NotLetIn());
        else lost(inside);
    });
    socket.addEventListener("message", ({ data }) => {
        if (!inside) connected();
        inside = true;
        add(data);
    });
}));
