// The code that runs: the methods of the stores, and where the steps are in them.

/** Read the classes of some sources: name -> {name, base, methods: {name: text}}. */
export function readClasses(sources) {
  const classes = {};
  for (const source of sources) {
    for (const text of source.split(/^(?=class )/m)) {
      const head = /^class (\w+)(?:\((\w+)\))?:/.exec(text);
      if (!head) continue;
      const [, name, base] = head;
      const methods = {};
      for (const method of text.split(/^(?=    def )/m).slice(1)) {
        methods[/def (\w+)/.exec(method)[1]] = method.trimEnd();
      }
      classes[name] = { name, base, methods };
    }
  }
  return classes;
}

/** Where a method comes from: the class itself, or the nearest base that has it. */
function find(classes, name, method) {
  for (let each = classes[name]; each; each = classes[each.base]) {
    if (each.methods[method]) return each;
  }
  return null;
}

/** What runs when `method` is called: it, and what it calls by super(). */
function running(classes, name, method) {
  const owner = find(classes, name, method);
  if (!owner) return [];
  const text = owner.methods[method];
  const above = text.includes(`super().${method}`)
    ? running(classes, owner.base, method)
    : [];
  return [{ owner: owner.name, method, text }, ...above];
}

/** The methods that a post and a poll run: [{owner, method, text}]. */
export function methodsOf(classes, design) {
  const found = [...running(classes, design.name, "post")];
  const guarded = /class (\w+)\(dict\)/.exec(design.source);
  if (guarded) {
    const text = classes[guarded[1]].methods.__setitem__;
    found.push({ owner: guarded[1], method: "__setitem__", text });
  }
  return [...found, ...running(classes, design.name, "next_after")];
}

// What each letter is in the code. B may hold A: the key is worked out on its line.
const PLACES = {
  A: [/time\.time\(\)/, /next\(self\.numbers\)/],
  B: [/self\.messages\[.*\] = text/],
  L: [/with self\.write_lock:/],
  U: [/with self\.write_lock:/],
  P: [
    /self\.messages\.append\(text\)/,
    /threads\.blockingCallFromThread\(reactor, super\(\)\.post, text\)/,
  ],
};

/**
 * Where the steps of a design stand in a line of a method: [{from, to, letters}].
 *
 * They are in order, and each lies outside of the next or holds it.
 */
export function placesIn(line, design, method) {
  const places = [];
  const mark = (letters, found) => {
    if (!found) return;
    places.push({ from: found.index, to: found.index + found[0].length, letters });
  };
  if (method === "next_after") {
    mark("R", /(for|if cursor|return threads)\b.*$/.exec(line));
    return places;
  }
  const letters = design.steps.includes("L") ? ["LU", "B", "A"] : [...design.steps];
  if (method === "post") {
    for (const each of letters) {
      for (const pattern of PLACES[each[0]]) mark(each, pattern.exec(line));
    }
  }
  return places.sort((a, b) => a.from - b.from || b.to - a.to);
}
