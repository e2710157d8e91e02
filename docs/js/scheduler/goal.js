// The level: what is to be done, how far you are, and what it showed.

import { h, set, write } from "./dom.js";
import { FINALE, LEVELS, fill } from "./levels.js";

/** The row of levels; `onChoose(level)` gets a level, or null for free play. */
export function makeLevels(onChoose) {
  const buttons = new Map();
  const parts = new Map();
  for (const [i, level] of LEVELS.entries()) {
    const done = h("span", { class: "hidden" });
    const button = h(
      "button",
      { type: "button", title: level.title, onclick: () => onChoose(level) },
      h("span", { class: "hidden" }, "Level "),
      String(i + 1),
      done,
    );
    buttons.set(level, { button, done });
    if (!parts.has(level.part)) parts.set(level.part, []);
    parts.get(level.part).push(h("li", {}, button));
  }
  const free = h(
    "button",
    { type: "button", class: "wide", onclick: () => onChoose(null) },
    "Free",
    h("span", {}, " play"),
  );
  buttons.set(null, { button: free, done: null });
  const group = (name, ...items) =>
    h("li", {}, h("span", {}, name), h("ol", {}, ...items));
  const element = h(
    "nav",
    { class: "levels", "aria-label": "Levels" },
    h(
      "ol",
      {},
      ...[...parts].map(([part, items]) => group(part, ...items)),
      group("All stores", h("li", {}, free)),
    ),
  );

  function render(chosen, isDone) {
    for (const [level, { button, done }] of buttons) {
      set(button, "aria-current", level === chosen ? "step" : null);
      if (!level) continue;
      set(button, "data-done", isDone(level));
      write(done, `: ${level.title}${isDone(level) ? ", done" : ""}`);
    }
  }

  return { element, render };
}

/**
 * The card above the board; `unbeaten` are the stores that answer free play.
 *
 * `onGuess(guess, answer)` is called for who says beforehand what will happen.
 */
export function makeGoal(unbeaten, onGuess) {
  const title = h("h3", { tabindex: "-1" });
  const text = h("p");
  const tasks = h("ul", { class: "tasks" });
  const summary = h("summary");
  const hint = h("p");
  const hints = h("details", {}, summary, hint);
  const foot = h("div", { class: "goal-foot" }, tasks, hints);
  const guess = h("fieldset", { class: "question guess" });
  const element = h(
    "section",
    { class: "goal", "aria-label": "Goal" },
    title,
    text,
    guess,
    foot,
  );
  const free = {
    title: "Free play: every store, every clock",
    text: "Choose a store and a clock. Which stores lose nothing, whatever the clock does?",
    hint: `${unbeaten.join(", ")}.`,
    tasks: [],
  };
  let shown;

  function render(level, tree, fulfilled) {
    const { tasks: wanted, ...texts } = level ?? free;
    if (shown !== level) {
      shown = level;
      hints.open = false;
      write(title, texts.title);
      write(text, fill(texts.text, tree));
      write(summary, level ? "Hint" : "Answer");
      write(hint, fill(texts.hint, tree));
      tasks.hidden = !wanted.length;
      tasks.replaceChildren(
        ...wanted.map((task) =>
          h("li", {}, h("span", { class: "hidden" }), task.text),
        ),
      );
      guess.replaceChildren(...(texts.guess ? askFirst(texts.guess) : []));
    }
    guess.hidden = !texts.guess || wanted.every(fulfilled);
    wanted.forEach((task, i) => {
      set(tasks.children[i], "data-done", fulfilled(task));
      write(tasks.children[i].firstChild, fulfilled(task) ? "Done: " : "");
    });
  }

  function askFirst(question) {
    return [
      h("legend", {}, question.text),
      ...question.answers.map((answer) =>
        h(
          "button",
          { type: "button", onclick: () => onGuess(question, answer) },
          answer.text,
        ),
      ),
    ];
  }

  return { element, title, render };
}

/** What comes below the board when the tasks are done: a question, then the lesson. */
export function makeOutcome({ onRight, onNext }) {
  const question = h("fieldset", { class: "question" });
  const lesson = h("p");
  const next = h("button", { type: "button", class: "next", onclick: () => onNext() });
  const finale = h(
    "div",
    { class: "finale" },
    h("h4", {}, FINALE.title),
    h("p", {}, FINALE.text),
    h(
      "p",
      {},
      "Read on: ",
      h("a", { href: "5_refactor.html" }, "chapter 5"),
      " makes a package of your server without losing that, and ",
      h("a", { href: "seven_doors.html" }, "seven doors"),
      " shows the same hole in systems that people rely on.",
    ),
  );
  const open = h("p");
  const lessonBox = h("div", { class: "lesson" }, lesson, finale, open, next);
  const element = h("div", { class: "outcome" }, question, lessonBox);
  let asked = null;

  function ask(level) {
    const reply = h("p", { role: "status" });
    const answers = level.question.answers.map((answer) => {
      const button = h("button", { type: "button" }, answer.text);
      button.addEventListener("click", () => {
        for (const each of answers) {
          set(each, "data-chosen", each === button && verdictOf(answer));
        }
        write(reply, answer.reply);
        if (answer.right) onRight();
      });
      return button;
    });
    question.replaceChildren(h("legend", {}, level.question.text), ...answers, reply);
  }

  /** `ready`: the tasks are fulfilled; `done`: the question is answered, too. */
  function render(level, tree, { ready, done, last, left }) {
    const asks = ready && Boolean(level?.question);
    if (asked !== (asks ? level : null)) {
      asked = asks ? level : null;
      if (asks) ask(level);
      else question.replaceChildren();
    }
    question.hidden = !asks;
    lessonBox.hidden = !(ready && done);
    if (ready && done) write(lesson, fill(level.lesson, tree));
    finale.hidden = left.length > 0;
    open.hidden = !last || !left.length;
    write(open, `Still to play: level ${left.join(", ")}.`);
    write(next, last ? "Play freely" : "Next level");
  }

  return { element, render };
}

const verdictOf = (answer) => (answer.right ? "right" : "wrong");
