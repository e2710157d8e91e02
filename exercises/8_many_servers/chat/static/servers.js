// The chat servers. Any of them will do, each time: what we say, all of them hear.

const urls = JSON.parse(document.getElementById("chat-urls").textContent);

let gone; // the one that did not answer last: it may be down for a while

export function anyServer() {
  const others = urls.filter((url) => url !== gone);
  const found = others.length ? others : urls;
  return found[Math.floor(Math.random() * found.length)];
}

// To be called when a server did not answer.
export function avoid(url) {
  gone = url;
}
