import {
    NotLetIn, add, address, connected, giveBack, keepTalking, onEnter, tell, ticket,
} from "./page.js";

const headers = { Authorization: `Bearer ${ticket}` };
let letIn = true;

let cursor = -1;

/* The reply to a request. Rejects with an AbortError after `seconds`. */
async function fetchReply(query, options, seconds) {
    const given = new AbortController();
    const timer = setTimeout(() => given.abort(), seconds * 1000);
    try {
        const { signal } = given;
        const response = await fetch(address + query, { ...options, headers, signal });
        if (response.status === 401) {
            letIn = false;
            throw new NotLetIn();
        }
        const reply = await response.json();
        if (!reply.status) throw new Error(reply.error);
        return reply;
    } finally {
        clearTimeout(timer);
    }
}

// No two windows ask for the same, or the browser has one wait for the other.
const windowName = Math.random().toString(36).slice(2);

const ask = (after, seconds) =>
    fetchReply(`?lastupdate=${after}&window=${windowName}`, {}, seconds);

const askForNews = () => ask(cursor, 40); // The server ends it before that.

keepTalking(async () => {
    let good = false;
    try {
        const greeting = await ask(-1, 5);
        greeting.data.forEach(add);
        cursor = Math.max(cursor, greeting.timestamp);
        for (;;) {
            connected();
            const news = await askForNews();
            good = true;
            news.data.forEach(add);
            cursor = news.timestamp;
        }
    } catch (error) {
        if (error instanceof NotLetIn) throw error;
        console.debug(error);
        return good;
    }
});

/* One after the other, so that they arrive in the order in which they were typed. */
let posted = Promise.resolve();
let failures = 0;

/* Sends it, unless one has failed since it was typed: then it waits with that one. */
async function post(text, failuresThen) {
    if (failures > failuresThen) {
        giveBack(text);
        return;
    }
    const form = new URLSearchParams({ new_message: text });
    try {
        await fetchReply("", { method: "POST", body: form }, 5);
    } catch (error) {
        console.debug(error);
        failures += 1;
        giveBack(text);
        tell("Your words could not be sent.");
    }
}

onEnter((text) => {
    const failuresNow = failures;
    if (letIn) posted = posted.then(() => post(text, failuresNow));
    return letIn;
});
