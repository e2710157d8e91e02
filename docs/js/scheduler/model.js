// What can be known without a page: the laboratory's schedules, and one game on them.
//
// The data is what `python -m lab --json` writes. A schedule is written as there:
// "A1 A2 B2 R B1". A thread is "1" or "2", a writer, or "R", the reader.

import { methodsOf, readClasses } from "./source.js";

export const THREADS = ["1", "2", "R"];
export const CLOCKS = {
  ticking: "it ticks",
  frozen: "it stands still",
  backward: "it is set back",
};

export const threadOf = (step) => (step.startsWith("R") ? "R" : step.slice(1));
export const messageOf = (writer) => `m${writer}`;
const inWords = (thread) => (thread === "R" ? "the reader" : `writer ${thread}`);

/** Leave out the middle of a number that would not fit, as the laboratory does. */
export const short = (text) =>
  text.length <= 7 ? text : `${text.slice(0, 3)}..${text.slice(-2)}`;

export class Lab {
  constructor(data) {
    this.interpreter = data.interpreter;
    const classes = readClasses(data.designs.map((each) => each.source));
    this.designs = new Map(
      data.designs.map((each) => [each.id, new Design(each, classes)]),
    );
  }

  /** The names of the designs that lose nothing, whatever the clock does. */
  unbeaten() {
    const clocks = Object.keys(CLOCKS);
    return [...this.designs.values()]
      .filter((design) => clocks.every((clock) => !design.tree(clock).losing))
      .map((design) => design.id);
  }
}

export class Design {
  #trees = {};

  constructor(data, classes) {
    Object.assign(this, data);
    /** What a post and a poll run: [{owner, method, text}]. */
    this.methods = methodsOf(classes, data);
    // JSON does not tell 1.0 from 1. Only what comes from the clock is a float.
    this.readsClock = this.methods.some(({ text }) => text.includes("time.time()"));
    this.locks = this.steps.includes("L");
  }

  tree(clock) {
    this.#trees[clock] ??= new Tree(this, clock, this.trees[clock]);
    return this.#trees[clock];
  }

  /** A number as Python writes it. */
  number(value) {
    return this.readsClock && value !== 0 && Number.isInteger(value)
      ? `${value}.0`
      : String(value);
  }

  /** The steps that a thread takes, in its order: ["A1", "B1"]. */
  program(thread) {
    return thread === "R" ? ["R"] : [...this.steps].map((letter) => letter + thread);
  }

  /** What a step does, for its button. */
  says(step) {
    const message = messageOf(threadOf(step));
    return {
      A: this.readsClock ? "read the clock" : "take a number",
      B: `store ${message}`,
      L: "take the lock",
      U: "free the lock",
      P: `post ${message}`,
      R: "poll",
    }[step[0]];
  }
}

export class Tree {
  constructor(design, clock, nodes) {
    Object.assign(this, { design, clock, nodes });
    this.leaves = Object.entries(nodes)
      .filter(([, node]) => node.end)
      .map(([schedule, node]) => ({
        schedule,
        steps: schedule.split(" "),
        received: node.end.R.received,
        lost: node.end.R.lost,
        hows: [...new Set(Object.values(node.end.R.lost))],
        design: design.id,
        clock,
      }));
    this.losing = this.leaves.filter((leaf) => leaf.hows.length).length;
    const numbers = Object.values(nodes).flatMap((node) => [
      ...node.entries.map(([number]) => number),
      ...Object.values(node.hand),
    ]);
    /** Every number that some message may stand at; 1 and 2 in any case. */
    this.numbers = [...new Set([1, 2, ...numbers])].sort((a, b) => a - b);
  }

  node(steps) {
    return this.nodes[steps.join(" ")];
  }

  /** The schedules that begin with `steps`. */
  open(steps) {
    const prefix = steps.join(" ");
    return this.leaves.filter(
      ({ schedule }) =>
        !prefix || schedule === prefix || schedule.startsWith(`${prefix} `),
    );
  }
}

/** Why `step` cannot be taken at `node`, in the laboratory's words; null if it can. */
export function whyNot(node, step, taken) {
  const waits = (each) => Object.hasOwn(node.blocked, each);
  const now = node.next.filter((each) => !waits(each)).join(" or ");
  if (!now) return `${step} comes after everything is done`;
  if (node.next.includes(step) && !waits(step)) return null;
  const where = taken.length ? `after ${taken.join(" ")}` : "at the start";
  const why = waits(step)
    ? `waits for the lock that ${node.blocked[step]} holds`
    : "cannot run";
  return `${where} ${step} ${why}; next could be ${now}`;
}

/**
 * What a link names: null if it is none of ours, else {design, clock, steps, problem}.
 *
 * `steps` are those that can be played; `problem` says why there are no more, or null.
 */
export function readLink(lab, hash) {
  let text;
  try {
    text = decodeURIComponent(hash.replace(/^#/, ""));
  } catch {
    text = "?/"; // no name at all
  }
  if (!text.includes("/")) return null;
  const [name, clock = "", schedule = ""] = text.split("/");
  if (name === "level") return { level: clock, problem: null };
  const nowhere = { design: null, clock: null, steps: [] };
  const design = lab.designs.get(name);
  if (!design) return { ...nowhere, problem: `no design is called “${name}”` };
  if (clock && !Object.hasOwn(CLOCKS, clock)) {
    const clocks = Object.keys(CLOCKS).join(", ");
    return {
      ...nowhere,
      design: name,
      problem: `no clock is called “${clock}”; there are ${clocks}`,
    };
  }
  const found = { design: name, clock: clock || "ticking", steps: [], problem: null };
  const tree = design.tree(found.clock);
  for (const step of schedule.split(/[.\s+]+/).filter(Boolean)) {
    found.problem = whyNot(tree.node(found.steps), step, found.steps);
    if (found.problem) break;
    found.steps.push(step);
  }
  return found;
}

export const writeLink = (design, clock, steps) =>
  `#${design}/${clock}/${steps.join(".")}`;

export const replayCommand = ({ design, clock, schedule }) =>
  `python -m lab replay ${design} "${schedule}"` +
  (clock === "ticking" ? "" : ` --clock ${clock}`);

/** What the laboratory says at the end of a schedule. */
export function verdict(leaf) {
  const fate = Object.entries(leaf.lost)
    .map(([text, how]) => `${text} is lost: ${how}`)
    .join(", ");
  return `R has ${leaf.received.join(", ") || "nothing"}; ${fate || "nothing is lost"}.`;
}

/** One store, one clock, and the steps so far; `plan` goes on from them. */
export class Game {
  constructor(lab) {
    this.lab = lab;
    this.choose("unsorted", "ticking");
  }

  choose(design, clock) {
    this.design = this.lab.designs.get(design);
    this.clock = clock;
    this.tree = this.design.tree(clock);
    this.steps = [];
    this.plan = [];
  }

  get node() {
    return this.tree.node(this.steps);
  }

  /** The schedule that has come to its end, or null. */
  get leaf() {
    return this.node.end ? this.tree.open(this.steps)[0] : null;
  }

  /** How many schedules are left, and how many of them lose a message. */
  get open() {
    const leaves = this.tree.open(this.steps);
    const losing = leaves.filter((each) => each.hows.length);
    return { all: leaves.length, losing: losing.length };
  }

  get link() {
    return writeLink(this.design.id, this.clock, this.steps);
  }

  /** The next step of a thread, or null, and for whom it waits: {step, waitsFor}. */
  next(thread) {
    const step = this.node.next.find((each) => threadOf(each) === thread) ?? null;
    return { step, waitsFor: this.node.blocked[step] ?? null };
  }

  /** The step that the plan has next, or null. */
  get planned() {
    return this.plan[this.steps.length] ?? null;
  }

  /** The writer who holds the lock, or null. */
  get holder() {
    return (
      THREADS.find(
        (thread) =>
          this.steps.includes(`L${thread}`) && !this.steps.includes(`U${thread}`),
      ) ?? null
    );
  }

  /** Let a thread take its next step; return false if it cannot. */
  step(thread) {
    const { step, waitsFor } = this.next(thread);
    if (!step || waitsFor) return false;
    const keep = this.planned === step;
    this.steps = [...this.steps, step];
    if (!keep) this.plan = this.steps;
    return true;
  }

  /** Take all steps of the one order that is left. */
  finish() {
    this.play(this.tree.open(this.steps)[0].steps);
  }

  /** Go to the place after `count` steps of the plan; what follows stays planned. */
  goTo(count) {
    this.steps = this.plan.slice(0, count);
  }

  undo() {
    this.goTo(Math.max(0, this.steps.length - 1));
  }

  restart() {
    this.steps = [];
    this.plan = [];
  }

  play(steps) {
    this.steps = steps;
    this.plan = steps;
  }

  /** Plan a schedule that fits `wanted`, from here if it goes on from here. */
  show(wanted) {
    const open = this.leaf ? [] : this.tree.open(this.steps);
    const leaf = open.find(wanted) ?? this.tree.leaves.find(wanted);
    if (!leaf) return false;
    if (!open.includes(leaf)) this.steps = [];
    this.plan = leaf.steps;
    return true;
  }

  /** What the last step did, in the laboratory's words; "" at the start. */
  get told() {
    const step = this.steps.at(-1);
    if (!step) return "";
    const thread = threadOf(step);
    if (thread === "R") {
      const before = this.tree.node(this.steps.slice(0, -1)).readers.R.received;
      return `R gets ${this.node.readers.R.received[before.length] ?? "nothing"}`;
    }
    const did = {
      A: () => {
        const number = short(this.design.number(this.inHand(thread)));
        return `takes ${number.includes("..") ? "" : "number "}${number}`;
      },
      B: () => `stores ${messageOf(thread)}`,
      L: () => "takes the lock",
      U: () => "frees the lock",
      P: () => `posts ${messageOf(thread)}`,
    }[step[0]]();
    return `${inWords(thread)} ${did}`;
  }

  /** The store as the laboratory prints it, in its own order. */
  get store() {
    const pairs = this.node.entries.map(
      ([number, text]) => `${short(this.design.number(number))}: '${text}'`,
    );
    return `{${pairs.join(", ")}}`;
  }

  /**
   * Where the reader stands: {cursor, received}.
   *
   * At the end it has polled until nothing new came.
   */
  get reader() {
    const { cursor, received } = this.node.readers.R;
    const end = this.node.end?.R.received;
    if (!end || end.length === received.length) return { cursor, received };
    const last = this.node.entries.find(([, text]) => text === end.at(-1));
    return { cursor: last[0], received: end };
  }

  /**
   * Where each message is: {m1: {is, number, received, late}}.
   *
   * "is" is "unwritten", "in hand" (it has a number and does not stand there yet),
   * "stored", "skipped" (stored, but the cursor is past it) or "overwritten" (it was
   * stored). It is late if it is in hand, and will stand where the cursor has been.
   */
  get messages() {
    const { cursor, received } = this.reader;
    const found = {};
    for (const writer of ["1", "2"]) {
      const text = messageOf(writer);
      const entry = this.node.entries.find(([, each]) => each === text);
      const got = received.includes(text);
      let is = "unwritten";
      let number = null;
      let late = false;
      if (entry) {
        [number] = entry;
        is = number <= cursor && !got ? "skipped" : "stored";
      } else if (writer in this.node.hand) {
        number = this.inHand(writer);
        is = "in hand";
        late = number <= cursor;
      } else if (this.#wasStored(writer)) {
        number = this.#placeOf(text);
        is = "overwritten";
      }
      found[text] = { is, number, received: got, late };
    }
    return found;
  }

  /** The number that a writer's message will stand at, once it has one. */
  inHand(writer) {
    if (!(writer in this.node.hand)) return undefined;
    // What the clock said is not yet what the store makes of it: look one step ahead.
    const stored = this.tree.node([...this.steps, `B${writer}`]);
    return stored.entries.find(([, each]) => each === messageOf(writer))[0];
  }

  #wasStored(writer) {
    return this.steps.includes(`B${writer}`) || this.steps.includes(`P${writer}`);
  }

  #placeOf(text) {
    for (let i = this.steps.length; i > 0; i -= 1) {
      const { entries } = this.tree.node(this.steps.slice(0, i));
      const entry = entries.find(([, each]) => each === text);
      if (entry) return entry[0];
    }
    return null;
  }
}
