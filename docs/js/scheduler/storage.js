// What the page remembers of you, in this browser only; a browser may refuse to.

const KEY = "you-are-the-scheduler";

export function recall() {
  const fresh = { done: [], tasks: {}, keys: true };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
    if (Array.isArray(kept.done)) fresh.done = kept.done;
    if (typeof kept.tasks === "object" && kept.tasks) fresh.tasks = kept.tasks;
    if (typeof kept.keys === "boolean") fresh.keys = kept.keys;
  } catch {
    // Then it lasts as long as the page.
  }
  return fresh;
}

export function remember(memory) {
  try {
    localStorage.setItem(KEY, JSON.stringify(memory));
  } catch {
    // Then it lasts as long as the page.
  }
}
