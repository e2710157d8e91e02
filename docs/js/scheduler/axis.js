// The picture: numbers from left to right, the messages that stand there, the cursor.

import { h, set, write } from "./dom.js";
import { short } from "./model.js";

const WHERE_ZERO = 5; // per cent: a cursor that has seen nothing
const FIRST = 10;

export function makeAxis() {
  const seen = h("div", { class: "axis-seen" }, h("span", {}, "never looked at again"));
  const ahead = h(
    "div",
    { class: "axis-ahead" },
    h("span", {}, "looked at by the next poll"),
  );
  const cursorText = h("span");
  const cursor = h("div", { class: "axis-cursor" }, cursorText);
  const ticks = h("div", { class: "axis-ticks" });
  const cards = {};
  for (const writer of ["1", "2"]) {
    const name = h("b", {}, `m${writer}`);
    const fate = h("span");
    cards[`m${writer}`] = {
      fate,
      card: h("div", { class: "axis-card", "data-thread": writer }, name, fate),
    };
  }
  const shelf = h("div", { class: "axis-shelf" });
  const element = h(
    "div",
    { class: "axis", role: "img" },
    seen,
    ahead,
    shelf,
    ticks,
    ...Object.values(cards).map(({ card }) => card),
    cursor,
  );
  let shown;

  function render(game) {
    const { numbers } = game.tree;
    const width = (100 - FIRST) / numbers.length;
    const middle = (number) => FIRST + (numbers.indexOf(number) + 0.5) * width;
    const named = (number) => short(game.design.number(number));

    if (shown !== game.tree) {
      shown = game.tree;
      ticks.replaceChildren(
        ...numbers.map((number) => {
          const tick = h("span", { title: game.design.number(number) }, named(number));
          tick.style.left = `${middle(number)}%`;
          return tick;
        }),
      );
    }
    const { cursor: at } = game.reader;
    const edge = at ? FIRST + (numbers.indexOf(at) + 1) * width - 2 : WHERE_ZERO;
    seen.style.width = `${edge}%`;
    set(seen, "data-empty", !at);
    ahead.style.left = `${edge}%`;
    set(ahead, "data-narrow", edge > 70);
    cursor.style.left = `${edge}%`;
    set(cursor, "data-right", edge > 70);
    write(cursorText, `cursor ${at ? named(at) : "0"}`);

    const told = [`The cursor stands at ${at ? game.design.number(at) : "0"}.`];
    for (const [text, message] of Object.entries(game.messages)) {
      const { card, fate } = cards[text];
      set(card, "data-is", message.is);
      set(card, "data-received", message.received);
      set(card, "data-late", message.late);
      const words = inWords(message);
      write(fate, words);
      if (message.number !== null) {
        card.style.left = `${middle(message.number)}%`;
        set(card, "data-shared", shared(game.messages, text));
        told.push(`${text}, at ${game.design.number(message.number)}: ${words}.`);
      }
    }
    set(element, "aria-label", told.join(" "));
  }

  return { element, render };
}

function inWords({ is, received, late }) {
  if (is === "in hand") return late ? "too late" : "on its way";
  if (is === "stored") return received ? "✓ received" : "stored";
  if (is === "skipped") return "lost: skipped";
  if (is === "overwritten") {
    return received ? "overwritten, received" : "lost: overwritten";
  }
  return "";
}

/** Whether the other message is in hand at the same number, too. */
function shared(messages, text) {
  const [one, two] = Object.values(messages);
  return one.is === "in hand" && two.is === "in hand" && one.number === two.number;
}
