// What the page says of a game: in the picture, and to those who hear it.

const EXPLAINED = {
  skipped: (text, game) => {
    const { messages, reader, design } = game;
    const stands = design.number(messages[text].number);
    const cursor = design.number(reader.cursor);
    const past =
      stands === cursor
        ? "So does the cursor, and the reader asks for later ones."
        : `The cursor at ${cursor} is past it.`;
    return `${text} stands at ${stands}. ${past}`;
  },
  overwritten: (text, game) => {
    const other = text === "m1" ? "m2" : "m1";
    const stands = game.design.number(game.messages[text].number);
    return `${other} was stored under the same ${stands} and has replaced ${text}.`;
  },
};

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** Which threads wait, for whom: "Writer 2 is blocked: writer 1 holds the lock." */
function blocked(game) {
  return ["1", "2"]
    .map((thread) => ({ thread, ...game.next(thread) }))
    .filter(({ waitsFor }) => waitsFor)
    .map(
      ({ thread, waitsFor }) =>
        `Writer ${thread} is blocked: writer ${waitsFor} holds the lock.`,
    )
    .join(" ");
}

/** "Still open: 4, of which 2 lose one." */
function stillOpen({ all, losing }) {
  const some = `of which ${losing} ${losing === 1 ? "loses" : "lose"} one`;
  const every = all === 1 ? "and it loses one" : "and all lose one";
  const how = losing === all ? every : losing ? some : "and none loses one";
  return `Still open: ${all}, ${how}.`;
}

/** {told, verdict, mood}: what happened, what it means, and "", "bad" or "good". */
export function say(game) {
  const told = game.told ? `${capital(game.told)}.` : "";
  const { leaf, open } = game;
  if (leaf) {
    const lost = Object.entries(leaf.lost);
    const has = `The reader has ${leaf.received.join(" and ") || "nothing"}.`;
    if (!lost.length) return { told, verdict: `Nothing is lost. ${has}`, mood: "good" };
    const fates = lost.map(
      ([text, how]) => `${text} is lost: ${how}. ${EXPLAINED[how](text, game)}`,
    );
    return { told, verdict: `${fates.join(" ")} ${has}`, mood: "bad" };
  }
  if (!told) {
    return { told: "Choose who runs first.", verdict: "", mood: "" };
  }
  const count = stillOpen(open);
  const wait = blocked(game);
  if (game.tree.losing === game.tree.leaves.length) {
    const all = "Every order loses a message here.";
    return { told, verdict: [wait, all].filter(Boolean).join(" "), mood: "" };
  }
  if (open.losing === open.all) {
    const late = "Too late: whoever runs next, a message is lost.";
    return { told, verdict: `${count} ${late}`, mood: "bad" };
  }
  return { told, verdict: [wait, count].filter(Boolean).join(" "), mood: "" };
}
