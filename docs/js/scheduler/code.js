// The code of the store, with the steps marked, and a flag where each thread stands.

import { h, write } from "./dom.js";
import { THREADS } from "./model.js";
import { placesIn } from "./source.js";

const MEANS = {
  post: "a writer runs",
  __setitem__: "part of B",
  next_after: "the reader runs",
};

export function makeCode() {
  const list = h("div", { class: "code-methods" });
  const whole = h("pre", {}, h("code"));
  const summary = h("summary");
  const element = h(
    "div",
    { class: "code" },
    list,
    h("details", { class: "code-whole" }, summary, whole),
  );
  let shown;

  function render(game) {
    if (shown !== game.design) {
      shown = game.design;
      list.replaceChildren(...shown.methods.map((method) => makeMethod(shown, method)));
      write(summary, `All of class ${shown.name}`);
      write(whole.firstChild, shown.source.trimEnd());
    }
    for (const place of list.querySelectorAll("[data-letters]")) {
      const flags = place.querySelector(":scope > .code-flags");
      flags.replaceChildren(...flagsFor(game, place.dataset.letters));
    }
  }

  return { element, render };
}

function flagsFor(game, letters) {
  return THREADS.map((thread) => ({ thread, ...game.next(thread) }))
    .filter(({ step }) => step && letters.includes(step[0]))
    .map(({ thread, step, waitsFor }) =>
      h("i", { "data-thread": thread, "data-blocked": waitsFor !== null }, step),
    );
}

function makeMethod(design, { owner, method, text }) {
  const lines = text.split("\n").map((line) => line.replace(/^ {4}/, ""));
  const inherited = owner === design.name ? "" : `from ${owner}`;
  return h(
    "figure",
    {},
    h(
      "figcaption",
      {},
      h("b", {}, MEANS[method]),
      inherited ? h("span", {}, inherited) : "",
    ),
    h("pre", {}, h("code", {}, ...lines.map((line) => makeLine(line, design, method)))),
  );
}

function makeLine(line, design, method) {
  const indent = /^ */.exec(line)[0].length;
  const places = placesIn(line, design, method);
  const element = h("span", { class: places.length ? "line marked" : "line" });
  element.style.setProperty("--indent", indent);
  element.append(
    h("span", { class: "indent" }, line.slice(0, indent)),
    ...marked(line, indent, line.length, places),
    "\n",
  );
  return element;
}

/** The text from `from` to `to`, with an element for each place in it. */
function marked(line, from, to, places) {
  const parts = [];
  let here = from;
  for (const place of places) {
    if (place.from < here) continue; // it lies in the one before
    const inner = places.filter(
      (each) => each !== place && each.from >= place.from && each.to <= place.to,
    );
    parts.push(
      line.slice(here, place.from),
      h(
        "span",
        { "data-letters": place.letters },
        h("span", { class: "code-flags", "aria-hidden": "true" }),
        ...marked(line, place.from, place.to, inner),
      ),
    );
    here = place.to;
  }
  parts.push(line.slice(here, to));
  return parts;
}
