// Any file of any stage or exercise beside its form in another: what left, what came.
//
// Without JavaScript, or without the data, what the page says instead stays there.

import { h, set, write } from "./scheduler/dom.js";

const home = document.getElementById("switcher");
const WIDE = matchMedia("(min-width: 76em)"); // as in switcher.css
const NEAR = 3; // lines around a change that are shown, if only changes are wanted

/** The text of a line that was coloured; two lines are equal if their texts are. */
const plain = (html) => html.replace(/<[^>]*>/g, "");

/** Pairs [left, right] of line numbers, null where a line has no partner. */
export function align(left, right) {
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) {
    head += 1;
  }
  let tail = 0;
  const shorter = Math.min(left.length, right.length) - head;
  while (tail < shorter && left.at(-1 - tail) === right.at(-1 - tail)) tail += 1;
  const [rows, columns] = [left.length - head - tail, right.length - head - tail];
  // How many lines are common from here on, for each place in both.
  const common = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1));
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      common[i][j] =
        left[head + i] === right[head + j]
          ? common[i + 1][j + 1] + 1
          : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const pairs = Array.from({ length: head }, (_, i) => [i, i]);
  let [i, j] = [0, 0];
  while (i < rows || j < columns) {
    if (i < rows && j < columns && left[head + i] === right[head + j]) {
      pairs.push([head + i, head + j]);
      [i, j] = [i + 1, j + 1];
    } else if (j === columns || (i < rows && common[i + 1][j] >= common[i][j + 1])) {
      pairs.push([head + i, null]);
      i += 1;
    } else {
      pairs.push([null, head + j]);
      j += 1;
    }
  }
  for (let k = tail; k > 0; k -= 1) pairs.push([left.length - k, right.length - k]);
  return pairs;
}

/**
 * The rows of two columns: what left stands beside what came in its place.
 *
 * Without room for two, what left stands above it.
 */
function rowsOf(pairs, hasRoom) {
  const rows = [];
  let [gone, came] = [[], []];
  const flush = () => {
    if (!hasRoom) {
      rows.push(...gone.map((line) => [line, null, false]));
      gone = [];
    }
    for (let k = 0; k < Math.max(gone.length, came.length); k += 1) {
      rows.push([gone[k] ?? null, came[k] ?? null, false]);
    }
    [gone, came] = [[], []];
  };
  for (const [left, right] of pairs) {
    if (left !== null && right !== null) {
      flush();
      rows.push([left, right, true]);
    } else if (left !== null) gone.push(left);
    else came.push(right);
  }
  flush();
  return rows;
}

class Switcher {
  constructor(data) {
    this.data = data;
    const choice = (label, options) => {
      const select = h("select", {}, ...options);
      select.addEventListener("change", () => this.#chosen());
      return { select, label: h("label", {}, h("span", {}, label), select) };
    };
    const option = (value, text) => h("option", { value }, text);
    const snapshots = () => data.snapshots.map(([mark, title]) => option(mark, title));
    this.path = choice("File", Object.keys(data.files).map((path) => option(path, path)));
    this.left = choice("On the left", snapshots());
    this.right = choice("On the right", snapshots());
    this.only = h("input", { type: "checkbox", id: "only-changes" });
    this.only.addEventListener("change", () => this.#render());
    this.said = h("p", { role: "status", class: "switcher-said" });
    this.code = h("div", { class: "switcher-code highlight", tabindex: "0", role: "region" });
    this.title = h("h3", { tabindex: "-1" });
    home.replaceChildren(
      this.title,
      h("div", { class: "switcher-choices" }, this.path.label, this.left.label, this.right.label),
      h("label", { class: "switcher-only" }, this.only, " Only what changes"),
      this.said,
      this.code,
    );
    const link = this.#follow();
    this.#render();
    set(home, "data-ready", true);
    if (link) this.#arrive();
    WIDE.addEventListener("change", () => this.#render());
    window.addEventListener("hashchange", () => {
      if (!this.#follow()) return;
      this.#render();
      this.#arrive();
    });
  }

  /** Choose what the address names, "#4/5/chatserver.py"; else a first example. */
  #follow() {
    const [left, right, ...path] = decodeURIComponent(location.hash.slice(1)).split("/");
    const marks = this.data.snapshots.map(([mark]) => mark);
    const found =
      marks.includes(left) && marks.includes(right) && path.join("/") in this.data.files;
    if (found) this.#set(left, right, path.join("/"));
    else if (!this.path.select.dataset.set) this.#set("3", "4", "chatserver.py");
    return found;
  }

  #set(left, right, path) {
    this.left.select.value = left;
    this.right.select.value = right;
    this.path.select.value = path;
    this.path.select.dataset.set = "";
  }

  #arrive() {
    this.title.focus({ preventScroll: true });
    this.title.scrollIntoView();
  }

  #chosen() {
    const { left, right, path } = this;
    const link = `#${left.select.value}/${right.select.value}/${path.select.value}`;
    history.replaceState(null, "", link);
    this.#render();
  }

  #lines(mark) {
    const version = this.data.files[this.path.select.value][mark];
    return version === undefined ? null : this.data.versions[version];
  }

  #render() {
    const path = this.path.select.value;
    const sides = [this.left, this.right].map(({ select }) => ({
      name: select.selectedOptions[0].textContent,
      lines: this.#lines(select.value),
    }));
    const [left, right] = sides.map(({ lines }) => lines ?? []);
    const rows = rowsOf(align(left.map(plain), right.map(plain)), WIDE.matches);
    const count = (side) => rows.filter((row) => !row[2] && row[side] !== null).length;
    const missing = sides.filter(({ lines }) => lines === null);
    const words = missing.map(({ name }) => `${name} has no such file.`);
    if (missing.length < 2) {
      const [went, came] = [count(0), count(1)];
      words.push(went || came ? `${came} lines came, ${went} left.` : "Nothing changes.");
    }
    write(this.title, path);
    write(this.said, words.join(" "));
    set(this.code, "aria-label", `${path}, ${sides[0].name} and ${sides[1].name}`);
    const near = new Set();
    rows.forEach(([, , same], at) => {
      for (let k = at - NEAR; !same && k <= at + NEAR; k += 1) near.add(k);
    });
    const head = h(
      "div",
      { class: "switcher-row switcher-head" },
      ...sides.map(({ name }) => h("span", {}, name)),
    );
    const shown = rows.map(([l, r, same], at) =>
      this.only.checked && !near.has(at)
        ? null
        : h(
            "div",
            { class: "switcher-row", "data-same": same },
            cell(left, l, same ? "span" : "del"),
            cell(right, r, same ? "span" : "ins"),
          ),
    );
    this.code.replaceChildren(head, ...shown.filter(Boolean));
  }
}

function cell(lines, number, element) {
  const code = h(number === null ? "span" : element, { class: "line" });
  // The build has made these lines of our own files, and escaped what is in them.
  if (number !== null) code.innerHTML = `${lines[number]}\n`;
  else set(code, "data-none", true);
  return code;
}

async function load() {
  const response = await fetch(new URL("../switcher.json", import.meta.url));
  if (!response.ok) throw new Error(`switcher.json: ${response.status}`);
  return response.json();
}

if (home) new Switcher(await load());
