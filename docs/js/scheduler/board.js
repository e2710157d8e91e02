// The board: three lanes with a button each, the schedule as tiles, one square for each
// schedule that there is.

import { h, set, write } from "./dom.js";
import { THREADS, messageOf, short } from "./model.js";

const NAMES = { 1: "Writer 1", 2: "Writer 2", R: "Reader" };
const KEYS = { 1: "1", 2: "2", R: "3" };

/** Three lanes; `onStep(thread)` is called for a press on a button, blocked or not. */
export function makeLanes(onStep) {
  const lanes = THREADS.map((thread) => makeLane(thread, onStep));
  const element = h(
    "div",
    { class: "lanes", role: "group", "aria-label": "Who runs next?" },
    ...lanes.map((lane) => lane.element),
  );
  return { element, render: (game) => lanes.forEach((lane) => lane.render(game)) };
}

function makeLane(thread, onStep) {
  const id = `lane-${thread}`;
  const program = h("span", { class: "lane-program", "aria-hidden": "true" });
  const state = h("span", { class: "lane-state", id });
  const code = h("b");
  const words = h("span");
  const button = h(
    "button",
    { type: "button", class: "lane-step", "aria-describedby": id },
    h("span", { class: "hidden" }, `${NAMES[thread]}: `),
    code,
    " ",
    words,
    h("kbd", { "aria-hidden": "true" }, KEYS[thread]),
  );
  button.addEventListener("click", () => onStep(thread));
  const element = h(
    "div",
    { class: "lane", "data-thread": thread },
    h("span", { class: "lane-name" }, NAMES[thread]),
    program,
    state,
    button,
  );

  function render(game) {
    const { step, waitsFor } = game.next(thread);
    program.replaceChildren(
      ...game.design.program(thread).map((each) => {
        const later = each === step ? "next" : "later";
        return h("i", { "data-is": game.steps.includes(each) ? "done" : later }, each);
      }),
    );
    write(state, stateOf(thread, game));
    set(element, "data-blocked", waitsFor !== null);
    set(button, "aria-disabled", step && !waitsFor ? null : "true");
    set(button, "data-planned", step !== null && game.planned === step);
    write(code, step ?? "");
    write(words, step ? game.design.says(step) : "done");
  }

  return { element, render };
}

function stateOf(thread, game) {
  const { waitsFor } = game.next(thread);
  if (waitsFor) return `blocked: writer ${waitsFor} holds the lock`;
  if (thread === "R") {
    const { received } = game.reader;
    return `has ${received.join(", ") || "nothing"}`;
  }
  const number = game.inHand(thread);
  const holds = [];
  if (game.holder === thread) holds.push("the lock");
  if (number !== undefined) holds.push(short(game.design.number(number)));
  if (holds.length) return `holds ${holds.join(" and ")}`;
  return game.next(thread).step ? `brings ${messageOf(thread)}` : "has posted";
}

/** The steps taken and planned; `onGo(count)` is called to go to one of them. */
export function makeSchedule(onGo) {
  const element = h("ol", { class: "schedule", "aria-label": "The schedule" });
  element.addEventListener("click", (event) => {
    const tile = event.target.closest("button");
    if (tile) onGo(Number(tile.dataset.count));
  });

  function render(game) {
    const total = game.tree.leaves[0].steps.length;
    const wanted = game.plan.length;
    while (element.children.length > total + 1) element.lastChild.remove();
    while (element.children.length < total + 1) element.append(h("li"));
    for (let i = 0; i <= total; i += 1) {
      const place = element.children[i];
      if (i === total) renderEnd(place, game);
      else if (i < wanted) renderTile(place, game, i);
      else become(place, "free");
    }
  }

  return { element, render };
}

/** Let a place be what it is now; another kind of thing begins empty. */
function become(place, is) {
  const isTile = (name) => name === "taken" || name === "planned";
  if (isTile(place.dataset.is) !== isTile(is) || !isTile(is)) place.replaceChildren();
  place.dataset.is = is;
  set(place, "data-over", null);
}

function renderTile(place, game, i) {
  const step = game.plan[i];
  const is = i < game.steps.length ? "taken" : "planned";
  become(place, is);
  if (!place.firstChild) {
    place.append(h("button", { type: "button", "data-count": i + 1 }));
  }
  const tile = place.firstChild;
  set(tile, "data-thread", step.startsWith("R") ? "R" : step.slice(1));
  set(tile, "aria-label", is === "taken" ? `after ${step}` : `${step}, planned`);
  write(tile, step);
}

function renderEnd(place, game) {
  become(place, "end");
  set(place, "data-over", game.leaf !== null);
  place.append(h("span", { title: "the reader polls until nothing new comes" }, "end"));
}

/** One square for each schedule, in the laboratory's order. */
export function makeStrip() {
  const squares = h("div", { class: "strip-squares", "aria-hidden": "true" });
  const caption = h("p", { class: "strip-words" });
  const legend = h("p", { class: "strip-legend", "aria-hidden": "true" });
  const element = h("div", { class: "strip" }, caption, squares, legend);
  let shown;

  function render(game) {
    const { leaves, losing } = game.tree;
    if (shown !== game.tree) {
      shown = game.tree;
      squares.replaceChildren(
        ...leaves.map((leaf) =>
          h("i", { "data-how": howOf(leaf), title: leaf.schedule }),
        ),
      );
      const hows = new Set(leaves.map(howOf));
      legend.replaceChildren(
        ...Object.entries(FATES)
          .filter(([how]) => hows.has(how))
          .map(([how, words]) => h("span", {}, h("i", { "data-how": how }), words)),
      );
    }
    const lose = howMany(game.tree);
    write(caption, `${leaves.length} orders are possible, ${lose} a message.`);
    const open = new Set(game.tree.open(game.steps));
    leaves.forEach((leaf, i) => {
      set(squares.children[i], "data-out", !open.has(leaf));
      set(squares.children[i], "data-here", leaf === game.leaf);
    });
  }

  return { element, render };
}

function howMany({ leaves, losing }) {
  if (!losing) return "none of them loses";
  if (losing === leaves.length) return "all of them lose";
  return losing === 1 ? "1 of them loses" : `${losing} of them lose`;
}

const FATES = { fine: "both arrive", skipped: "skipped", overwritten: "overwritten" };

const howOf = (leaf) => leaf.hows[0] ?? "fine";
