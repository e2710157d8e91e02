// The whole toy: it holds the game, draws it after each change, and keeps the address.

import { makeAxis } from "./axis.js";
import { makeLanes, makeSchedule, makeStrip } from "./board.js";
import { makeCode } from "./code.js";
import { h, set, write } from "./dom.js";
import { makeGoal, makeLevels, makeOutcome } from "./goal.js";
import { LEVELS, losing } from "./levels.js";
import { CLOCKS, Game, readLink, replayCommand, threadOf } from "./model.js";
import { recall, remember } from "./storage.js";
import { say } from "./words.js";

const LETTERS = { 1: "1", 2: "2", 3: "R" };

export class Toy {
  constructor(lab) {
    this.lab = lab;
    this.game = new Game(lab);
    this.memory = recall();
    this.level = null;
    this.note = "";
    this.#make();
  }

  /** Take the place of what `home` holds, and play what the address names. */
  mount(home) {
    this.home = home;
    home.replaceChildren(this.element);
    set(home, "data-ready", true);
    const linked = this.#followAddress();
    if (!linked) this.#choose(this.#firstUndone());
    this.#render();
    if (linked) this.#arrive();
    this.#leadKeysHere();
    window.addEventListener("popstate", () => this.#addressChanged());
    // After it the browser has moved the focus to its anchor, and lets us move it on.
    window.addEventListener("hashchange", () => this.#cameByLink());
    document.addEventListener("keydown", (event) => this.#onKey(event));
  }

  // What you can do

  run(thread) {
    const { step, waitsFor } = this.game.next(thread);
    this.note = "";
    if (this.game.step(thread)) this.#stepped();
    else if (waitsFor) {
      this.note = `${step} is blocked: writer ${waitsFor} holds the lock.`;
    }
    this.#render();
  }

  /** Take the steps that are left, where only one order is. */
  runOn() {
    if (this.game.leaf || this.game.open.all > 1) return;
    this.note = "";
    this.game.finish();
    this.#stepped();
    this.#render();
  }

  undo() {
    if (!this.game.steps.length) return;
    this.#goTo(this.game.steps.length - 1);
  }

  restart() {
    this.game.restart();
    this.note = "";
    this.#keepAddress();
    this.#render();
  }

  show() {
    // An open task may need another clock than the one that is chosen.
    const wanted = [...this.#open().map((task) => task.fits), losing];
    if (wanted.some((fits) => this.game.show(fits))) {
      this.note = "Follow the dashed steps: the next one is marked.";
      this.#keepAddress();
    } else {
      const { length } = this.game.tree.leaves;
      this.note = `There is none: all ${length} orders deliver both messages.`;
    }
    this.#render();
  }

  #goTo(count) {
    this.game.goTo(count);
    this.note = "";
    this.#keepAddress();
    this.#render();
  }

  #stepped() {
    this.#keepAddress();
    const { leaf } = this.game;
    if (!leaf || !this.level) return;
    const before = this.#open();
    for (const task of before) {
      if (task.fits(leaf)) this.#tasks().push(task.id);
    }
    const after = this.#open();
    if (after.length < before.length) {
      this.note = after.length ? "One goal is reached." : "The goal is reached.";
    } else if (losing(leaf)) {
      this.note = after[0]?.near ?? "";
    }
    if (!after.length && !this.level.question) this.#finish();
    remember(this.memory);
  }

  #finish() {
    if (!this.memory.done.includes(this.level.id)) this.memory.done.push(this.level.id);
    remember(this.memory);
  }

  /** Play the order that the guess was about. */
  #guessed({ order }, answer) {
    this.game.restart();
    for (const step of order) this.game.step(threadOf(step));
    this.#stepped();
    const said = answer.right ? "As you said." : "You said that both arrive.";
    this.note = `${said} ${this.note}`;
    this.#render();
  }

  #answered() {
    this.#finish();
    this.#render();
  }

  // Levels

  #choose(level) {
    this.level = level;
    this.note = "";
    if (level) this.game.choose(level.design, level.clock ?? "ticking");
  }

  /** Go to a level by a button: the way back leads to where you were. */
  #enter(level) {
    this.#choose(level);
    this.#keepAddress(true);
    this.#render();
  }

  #next() {
    const next = LEVELS[LEVELS.indexOf(this.level) + 1] ?? null;
    this.#enter(next);
    this.#arrive();
  }

  #firstUndone() {
    return LEVELS.find((level) => !this.#isDone(level)) ?? null;
  }

  #isDone(level) {
    return this.memory.done.includes(level.id);
  }

  #tasks() {
    return (this.memory.tasks[this.level.id] ??= []);
  }

  /** The tasks of this level that are still to do. */
  #open() {
    if (!this.level) return [];
    return this.level.tasks.filter((task) => !this.#tasks().includes(task.id));
  }

  #pick(design, clock) {
    this.game.choose(design, clock);
    this.note = "";
    this.#keepAddress(true);
    this.#render();
  }

  #forget() {
    this.memory = { ...this.memory, done: [], tasks: {} };
    remember(this.memory);
    this.note = "Your progress is forgotten.";
    this.#render();
  }

  // The address

  #keepAddress(isNew = false) {
    const state = { scheduler: this.level?.id ?? "free" };
    const { link } = this.game;
    if (isNew) history.pushState(state, "", link);
    else if (link !== location.hash) history.replaceState(state, "", link);
  }

  /** Play what the address names; return whether it names anything. */
  #followAddress() {
    const found = readLink(this.lab, location.hash);
    if (!found) return false;
    if (found.level !== undefined) {
      const level = LEVELS.find((each) => each.id === found.level);
      if (level) this.#choose(level);
      else this.#choose(this.#firstUndone());
      if (!level) this.note = `No level is called “${found.level}”.`;
      return true;
    }
    const known = LEVELS.find((each) => each.id === history.state?.scheduler);
    this.level = known ?? null;
    if (found.design) {
      this.game.choose(found.design, found.clock ?? "ticking");
      this.game.play(found.steps);
    }
    this.note = found.problem
      ? `This link cannot be played: ${found.problem}.`
      : "";
    return true;
  }

  /** The way back or forward, an address typed in, or a link to an order. */
  #addressChanged() {
    if (this.#followAddress()) this.#render();
    else if (!location.hash) {
      this.#choose(this.#firstUndone());
      this.#render();
    }
  }

  #cameByLink() {
    const isOurs = readLink(this.lab, location.hash) !== null;
    if (isOurs && history.state?.scheduler === undefined) this.#arrive();
  }

  /** Lead who came by a link to the toy, not to the anchor of that name. */
  #arrive() {
    this.goal.title.focus({ preventScroll: true });
    this.goal.element.scrollIntoView();
    // On a phone a long goal may leave no room for the buttons.
    this.lanes.element.scrollIntoView({ block: "nearest" });
  }

  // Keys

  #onKey(event) {
    if (!this.memory.keys || !this.element.isConnected) return;
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const { target } = event;
    const isOurs =
      target === document.body ? this.#isSeen() : this.element.contains(target);
    if (!isOurs || event.repeat) return;
    // No clock begins with a digit, so there a digit can be meant for the game only.
    const chooses = target === this.pickers.clock && event.key in LETTERS;
    const writes = target.closest("input:not([type=checkbox]), select, textarea");
    if (writes && !chooses) return;
    if (event.key in LETTERS) this.run(LETTERS[event.key]);
    else if (event.key === "u") this.undo();
    else if (event.key === "r") this.restart();
    else if (event.key === "e") this.runOn();
    else return;
    event.preventDefault();
  }

  /** Let the page's own skip link lead here: the game is what one came for. */
  #leadKeysHere() {
    const skip = document.querySelector(".md-skip");
    if (!skip) return;
    this.lanes.element.id = "play";
    set(this.lanes.element, "tabindex", "-1");
    set(skip, "href", "#play");
    write(skip, "Skip to the game");
    // The address stays, since it says what is played.
    skip.addEventListener("click", (event) => {
      event.preventDefault();
      this.lanes.element.focus();
    });
  }

  #isSeen() {
    const { top, bottom } = this.element.getBoundingClientRect();
    return bottom > 0 && top < window.innerHeight;
  }

  // What is drawn

  #make() {
    this.levels = makeLevels((level) => this.#enter(level));
    this.goal = makeGoal(this.lab.unbeaten(), (guess, answer) =>
      this.#guessed(guess, answer),
    );
    this.axis = makeAxis();
    this.lanes = makeLanes((thread) => this.run(thread));
    this.schedule = makeSchedule((count) => this.#goTo(count));
    this.strip = makeStrip();
    this.code = makeCode();
    this.outcome = makeOutcome({
      onRight: () => this.#answered(),
      onNext: () => this.#next(),
    });
    this.pickers = this.#makePickers();
    this.buttons = this.#makeButtons();
    this.take = this.#makeTake();
    this.settings = this.#makeSettings();
    this.store = h("code");
    this.told = h("span", { class: "told" });
    this.verdict = h("span", { class: "verdict" });
    this.noted = h("span", { class: "noted" });
    this.status = h(
      "p",
      { class: "status", role: "status" },
      this.told,
      " ",
      this.verdict,
      " ",
      this.noted,
    );
    this.forced = h(
      "button",
      { type: "button", class: "forced", onclick: () => this.runOn() },
      "Only one order is left: run to the end",
      h("kbd", { "aria-hidden": "true" }, "e"),
    );
    this.element = h(
      "div",
      { class: "sched" },
      this.levels.element,
      this.goal.element,
      this.pickers.element,
      h(
        "div",
        { class: "board" },
        h(
          "div",
          { class: "board-main" },
          this.axis.element,
          h("p", { class: "store" }, "The store, in its own order: ", this.store),
          this.lanes.element,
          this.status,
          this.forced,
          this.outcome.element,
          this.schedule.element,
          this.buttons.element,
        ),
        h("div", { class: "board-side" }, this.strip.element, this.code.element),
      ),
      this.take.element,
      this.settings.element,
    );
  }

  #makePickers() {
    const option = (value, text) => h("option", { value }, text);
    const design = h(
      "select",
      {},
      ...[...this.lab.designs.values()].map(({ id, title }) => option(id, `${id}: ${title}`)),
    );
    const clock = h(
      "select",
      {},
      ...Object.entries(CLOCKS).map(([id, words]) => option(id, `${id}: ${words}`)),
    );
    const change = () => this.#pick(design.value, clock.value);
    design.addEventListener("change", change);
    clock.addEventListener("change", change);
    const ofDesign = h("label", {}, h("span", {}, "Store"), design);
    const ofClock = h("label", {}, h("span", {}, "Clock"), clock);
    const doc = h("p");
    const element = h("div", { class: "pickers" }, ofDesign, ofClock, doc);
    return { element, design, clock, ofDesign, ofClock, doc };
  }

  #makeButtons() {
    const make = (text, key, action) =>
      h(
        "button",
        { type: "button", onclick: action },
        text,
        key ? h("kbd", { "aria-hidden": "true" }, key) : "",
      );
    const undo = make("Undo", "u", () => this.undo());
    const restart = make("Start again", "r", () => this.restart());
    const show = make("", "", () => this.show());
    const element = h("div", { class: "buttons" }, undo, restart, show);
    return { element, undo, restart, show };
  }

  #makeTake() {
    const link = h("a");
    const command = h("code");
    const copied = h("span", { role: "status" });
    const copy = (what, text) =>
      h(
        "button",
        { type: "button", onclick: () => this.#copy(text(), copied) },
        `Copy ${what}`,
      );
    const replay = h(
      "div",
      {},
      h("span", {}, "Replay it in ", h("code", {}, "stage4_locking_gil"), ":"),
      h("div", { class: "take-command" }, command),
      copy("command", () => command.textContent),
    );
    const element = h(
      "section",
      { class: "take", "aria-label": "Take this schedule with you" },
      h(
        "div",
        {},
        h("span", {}, "Permanent link to this place:"),
        h("div", { class: "take-command" }, link),
        copy("link", () => link.href),
      ),
      replay,
      copied,
    );
    return { element, link, command, replay };
  }

  async #copy(text, copied) {
    write(copied, "");
    try {
      await navigator.clipboard.writeText(text);
      write(copied, "Copied.");
    } catch {
      write(copied, "This browser does not let pages copy. Select the text instead.");
    }
  }

  #makeSettings() {
    const keys = h("input", { type: "checkbox" });
    keys.checked = this.memory.keys;
    keys.addEventListener("change", () => {
      this.memory.keys = keys.checked;
      remember(this.memory);
      this.#render();
    });
    const kbd = (text) => h("kbd", {}, text);
    const element = h(
      "div",
      { class: "settings" },
      h(
        "label",
        {},
        keys,
        h(
          "span",
          {},
          "Keys: ",
          kbd("1"), " ", kbd("2"), " writers, ",
          kbd("3"), " reader, ",
          kbd("u"), " undo, ",
          kbd("e"), " run to the end, ",
          kbd("r"), " start again",
        ),
      ),
      h(
        "button",
        { type: "button", onclick: () => this.#forget() },
        "Forget my progress",
      ),
    );
    return { element };
  }

  #render() {
    const { game, level } = this;
    const open = this.#open();
    const ready = Boolean(level) && !open.length;
    set(this.element, "data-keys", this.memory.keys);
    this.levels.render(level, (each) => this.#isDone(each));
    this.goal.render(level, game.tree, (task) => !open.includes(task));
    this.axis.render(game);
    this.lanes.render(game);
    this.schedule.render(game);
    this.strip.render(game);
    this.code.render(game);
    this.outcome.render(level, game.tree, {
      ready,
      done: Boolean(level) && this.#isDone(level),
      last: level === LEVELS.at(-1),
      left: LEVELS.flatMap((each, i) => (this.#isDone(each) ? [] : [i + 1])),
    });
    this.forced.hidden = Boolean(game.leaf) || game.open.all > 1 || !game.steps.length;
    write(this.store, game.store);

    const { design, clock, ofDesign, ofClock, doc, element } = this.pickers;
    design.value = game.design.id;
    clock.value = game.clock;
    ofDesign.hidden = Boolean(level);
    ofClock.hidden = Boolean(level) && !level.chooseClock;
    doc.hidden = ofDesign.hidden;
    write(doc, game.design.doc.split("\n\n")[0]);
    element.hidden = ofDesign.hidden && ofClock.hidden;

    const { told, verdict, mood } = say(game);
    set(this.status, "data-mood", mood);
    write(this.told, told);
    write(this.verdict, verdict);
    write(this.noted, this.note);

    const { undo, restart } = this.buttons;
    set(undo, "aria-disabled", game.steps.length ? null : "true");
    set(restart, "aria-disabled", game.plan.length ? null : "true");
    const such = open.length && open[0].fits !== losing && !game.tree.losing;
    write(this.buttons.show, such ? "Show such an order" : "Show a losing order");

    set(this.take.link, "href", game.link);
    write(this.take.link, game.link);
    this.take.replay.hidden = !game.leaf;
    if (game.leaf) write(this.take.command, replayCommand(game.leaf));
  }
}
