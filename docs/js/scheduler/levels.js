// The levels. A task is fulfilled by a schedule that was played to its end.
//
// {all} and {losing} in a text become the numbers of the level's own tree.

const loses = (leaf) => leaf.hows.length > 0;
const losesBy = (how) => (leaf) => leaf.hows.includes(how);
const at = (leaf, step) => leaf.steps.indexOf(step);
const between = (leaf, first, step, last) =>
  at(leaf, first) < at(leaf, step) && at(leaf, step) < at(leaf, last);
const pollsInTheGap = (leaf) =>
  ["1", "2"].some((writer) => between(leaf, `A${writer}`, "R", `B${writer}`));
const other = { 1: "2", 2: "1" };
// The order that lost in level 2, and the question whether it still does.
const theOrderYouKnow = (text) => ({
  text,
  order: ["A1", "A2", "B2", "R", "B1"],
  answers: [
    { text: "Yes, a message is lost.", right: true },
    { text: "No, both arrive now." },
  ],
});
const pollsBetweenThePosts = (first, second) => (leaf) =>
  ["1", "2"].some((writer) =>
    between(leaf, first + writer, "R", second + other[writer]),
  );

export const LEVELS = [
  {
    id: "first",
    part: "Can you?",
    title: "Lose a message",
    design: "unsorted",
    text:
      "Two writers post a message each, one reader asks for what is new. You say who " +
      "runs next. Find an order after which the reader never gets one of the " +
      "messages.",
    hint:
      "The reader takes the first message it meets whose number is beyond its cursor. " +
      "It meets them in the order in which they were stored. Let writer 1 read the " +
      "clock first, and store last.",
    tasks: [{ id: "lose", text: "Lose a message.", fits: loses }],
    lesson:
      "m1 and m2 stand in the dict in another order than their stamps. The reader met " +
      "the later stamp first, moved its cursor there, and never looks to the left " +
      "again. {losing} of the {all} orders end like this.",
  },
  {
    id: "sorted",
    part: "Can you?",
    title: "Lose one although the scan is sorted",
    design: "sorted",
    text:
      "Now the reader looks through the stamps in their order. Of the {all} orders, " +
      "only {losing} still lose a message.",
    hint:
      "Sorting can only sort what is there. When does the reader have to ask, so that " +
      "the earlier stamp is not there yet?",
    tasks: [{ id: "lose", text: "Lose a message.", fits: loses }],
    lesson:
      "One writer had taken a stamp and did not stand there yet. The reader asked at " +
      "that very moment, and its cursor jumped over the empty place. Taking a place " +
      "and standing in it are two steps: that is the hole.",
  },
  {
    id: "wrong-place",
    part: "Repairs",
    title: "A lock in the wrong place",
    design: "setitem-lock",
    text:
      "The dict takes a lock around each store. A refactoring put the lock of 2013 here. " +
      "Lose the other message this time.",
    hint:
      "Python works out the key before it calls __setitem__, so the clock is read " +
      "outside of the lock. What worked without a lock works here. Swap the writers.",
    tasks: [
      {
        id: "m2",
        text: "Lose m2.",
        fits: (leaf) => "m2" in leaf.lost,
        near: "You have lost m1, and this level asks for m2. Swap the writers.",
      },
    ],
    lesson:
      "The lock keeps two stores apart, which a dict does by itself. It does not keep " +
      "A and B together. {losing} of {all}, as without it.",
  },
  {
    id: "counter",
    part: "Repairs",
    title: "A perfect counter",
    design: "counter-outside",
    text:
      "No clock at all: each message gets the next whole number, and no two are " +
      "alike.",
    guess: theOrderYouKnow("Say first: does the order of level 2 still lose a message?"),
    hint: "Take number 1, and stand there last. Let the reader ask before that.",
    tasks: [{ id: "lose", text: "Lose a message.", fits: loses }],
    lesson:
      "So the clock was not to blame. A number promises nothing as long as " +
      "somebody can come between taking it and standing there.",
  },
  {
    id: "gil",
    part: "Repairs",
    title: "Trust in the GIL",
    design: "gil-lock-on",
    text:
      "This store asks whether the interpreter has a global lock, the GIL. It has one " +
      "here, so the store leaves its own lock out.",
    guess: theOrderYouKnow("Say first: with the GIL, does the order of level 2 still lose?"),
    hint: "The same order once more.",
    tasks: [{ id: "lose", text: "Lose a message.", fits: loses }],
    lesson:
      "The GIL makes one store into a dict one step. A and B are two steps, and the " +
      "interpreter may switch threads between them. It was the answer to the wrong " +
      "question.",
  },
  {
    id: "same-tick",
    part: "Clocks",
    title: "Both in the same tick",
    design: "lock",
    clock: "frozen",
    text:
      "Here the lock is held around A and B, and the clock stands still: both writers " +
      "read the same time. Two things can happen to a message now. Make both happen.",
    hint:
      "A dict has one value for each key. The second store replaces the first. Poll " +
      "after both stores, and then, in another try, between them.",
    tasks: [
      {
        id: "overwritten",
        text: "Lose a message that is overwritten.",
        fits: losesBy("overwritten"),
      },
      { id: "skipped", text: "Lose one that is skipped.", fits: losesBy("skipped") },
    ],
    lesson:
      "Overwritten: nobody can read it any more. Skipped: it is in the store, but the " +
      "reader asks for what is later than its cursor, and equal is not later. With " +
      "this clock all {all} orders lose a message, and no lock helps.",
  },
  {
    id: "set-back",
    part: "Clocks",
    title: "The clock is set back",
    design: "lock",
    clock: "backward",
    text:
      "The first writer to read the clock gets 2.0, the second 1.0: somebody has set " +
      "the clock in between. The lock is still held around A and B.",
    hint: "Let the reader have the first message before the second writer stores.",
    tasks: [{ id: "lose", text: "Lose a message.", fits: loses }],
    lesson:
      "{losing} of {all} orders lose one. The lock puts the writers in an order. It " +
      "cannot make the clock agree with it.",
  },
  {
    id: "lock",
    part: "Why can’t you?",
    title: "The lock around A and B",
    design: "lock",
    text:
      "The same lock with a clock that ticks. None of the {all} orders loses a " +
      "message. Try all the same, and watch where you are stopped.",
    hint:
      "Writer 1: take the lock, read the clock. Now writer 2 is blocked, and the " +
      "reader is not.",
    tasks: [
      {
        id: "gap",
        text:
          "Let the reader poll while a writer is between A and B. Then go on to the " +
          "end.",
        fits: pollsInTheGap,
      },
    ],
    question: {
      text: "Why did the poll in the gap do no harm?",
      answers: [
        {
          text: "The reader waits for the lock, too.",
          reply: "It does not. It polled while the lock was taken.",
        },
        {
          text:
            "No later stamp could be stored meanwhile, so the cursor could not jump.",
          right: true,
          reply:
            "Yes. The gap is still there, but nobody with a later number can stand " +
            "beyond it.",
        },
        {
          text: "The scan is sorted.",
          reply: "It was sorted in level 2 as well, and there the message was lost.",
        },
      ],
    },
    lesson:
      "A number promises order if it is given out in the same critical section that " +
      "makes the message visible.",
  },
  {
    id: "rising",
    part: "Why can’t you?",
    title: "A stamp that always rises",
    design: "rising",
    clock: "backward",
    text:
      "This is the store of stage 4. The clock is set back again, and none of the " +
      "{all} orders loses a message. Play an order that lost in level 7, with the reader " +
      "between the two posts.",
    hint:
      "Let one writer go as far as B. Poll. Then let the other writer do all its " +
      "steps, and look where its message goes.",
    tasks: [
      {
        id: "between",
        text: "Let the reader poll after the first B and before the second A.",
        fits: pollsBetweenThePosts("B", "A"),
      },
    ],
    question: {
      text: "The clock told the second writer 1.0. Where does its message stand?",
      answers: [
        { text: "At 1.0", reply: "That is what the clock said. Look at the axis." },
        { text: "At 2.0", reply: "That place is taken: the first message would be gone." },
        {
          text: "A little after 2.0",
          right: true,
          reply: "Yes, at 2.0000000000000004, the next number that a float can hold.",
        },
      ],
    },
    lesson:
      "The stamp is the clock’s reading, or a little more than the newest stamp, " +
      "whichever is later. It is worked out in the same critical section, so nobody " +
      "comes in between.",
  },
  {
    id: "append",
    part: "Why can’t you?",
    title: "One step instead of two",
    design: "append",
    text:
      "No lock and no clock. A message is appended to a list, and its place in the " +
      "list is its number. There are {all} orders left.",
    hint: "Writer, reader, writer.",
    tasks: [
      {
        id: "between",
        text: "Let the reader poll between the two posts.",
        fits: pollsBetweenThePosts("P", "P"),
      },
    ],
    question: {
      text: "Where has step A gone?",
      answers: [
        {
          text: "The reader takes the number when it polls.",
          reply: "The reader counts what it has. It does not number the messages.",
        },
        {
          text:
            "Appending gives the number and makes the message visible, both at once.",
          right: true,
          reply:
            "Yes. Where there is nothing between A and B, nobody can come between.",
        },
        {
          text: "The writers agree on a number before.",
          reply: "They never speak with each other.",
        },
      ],
    },
    lesson: "The simplest store of all, and no clock can harm it.",
  },
  {
    id: "one-thread",
    part: "Why can’t you?",
    title: "One thread",
    design: "reactor",
    chooseClock: true,
    text:
      "Both writers hand their post to the one thread that owns the dict, Twisted’s " +
      "reactor. It does one thing after the other. Against threads this holds. " +
      "Against what does it not?",
    hint: "Choose another clock, then look at how many orders lose a message.",
    tasks: [
      {
        id: "ticks",
        text: "Play any order with the clock that ticks: nothing is lost.",
        fits: (leaf) => leaf.clock === "ticking",
      },
      {
        id: "lose",
        text: "Choose another clock, and lose a message.",
        fits: loses,
      },
    ],
    lesson:
      "One thread makes A and B one step. It does not make the clock rise. Stage 5 has " +
      "the one thread, and stamps that always rise.",
  },
];

/** What is said when all of them are done. */
export const FINALE = {
  title: "You have played all of them",
  text:
    "You have lost messages in a dict, in a sorted one, behind a lock in the wrong " +
    "place, with a perfect counter, and by a clock. And you have met two stores that no " +
    "clock helps to beat: stamps that always rise, and a list. What they have in common " +
    "is one sentence: a number promises order only if it is given out in the same " +
    "critical section that makes the message visible.",
};

/** A level's text with its numbers. */
export function fill(text, tree) {
  return text.replace("{all}", tree.leaves.length).replace("{losing}", tree.losing);
}

export const losing = loses;
