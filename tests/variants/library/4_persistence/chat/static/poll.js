import {
    NotLetIn, address, connected, cursor, fail, hear, keepTalking, mine, notStored, onEnter, ticket,
} from "./page.js";

const headers = { Authorization: `Bearer ${ticket}` };

class Refused extends Error {}

/* The reply to a request. Rejects with an AbortError after `seconds`. */
async function fetchReply(query, options, seconds) {
    const given = new AbortController();
    const timer = setTimeout(() => given.abort(), seconds * 1000);
    try {
        const { signal } = given;
        // For the cache, one window would wait until another is answered.
        const own = { headers, signal, cache: "no-store" };
        const response = await fetch(address + query, { ...options, ...own });
        if (response.status === 401) throw new NotLetIn();
        if (response.status === 404) throw new NotLetIn("This room is gone.");
        if (response.status >= 400 && response.status < 500) throw new Refused();
        const reply = await response.json();
        if (!reply.status) throw new Error(reply.error);
        return reply;
    } finally {
        clearTimeout(timer);
    }
}

const ask = (more, seconds) =>
    fetchReply(`?${new URLSearchParams({ ...cursor, ...more })}`, {}, seconds);

keepTalking(async () => {
    let good = false;
    try {
        hear(await ask({ wait: 0 }, 5));
        connected();
        post();
        for (;;) {
            hear(await ask({}, 40)); // The server ends it before that.
            good = true;
        }
    } catch (error) {
        if (error instanceof NotLetIn) throw error;
        console.debug(error);
        return good;
    }
});

let posting = false;

/* One after the other, so that they arrive in the order in which they were typed. */
async function post() {
    if (posting) return;
    posting = true;
    for (let wait = 300; mine.size; ) {
        const [[id, { text }]] = mine;
        const body = new URLSearchParams({ id, new_message: text });
        try {
            hear(await fetchReply("", { method: "POST", body }, 5), false);
            wait = 300;
        } catch (error) {
            console.debug(error);
            if (error instanceof NotLetIn || error instanceof Refused) fail(id);
            else {
                notStored();
                await new Promise((done) => setTimeout(done, wait * (1 + Math.random())));
            }
            wait = Math.min(2 * wait, 20_000);
        }
    }
    posting = false;
}

onEnter(post);
