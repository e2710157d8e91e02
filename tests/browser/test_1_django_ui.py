"""Stage 1 in a real browser: the page is finished before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.support.notjudged import NotJudged

SINCE_STAGE = 1

# WCAG 2.2, success criterion 1.4.3: the least contrast of text.
LEAST_CONTRAST = 4.5
# WCAG 2.2, success criterion 2.5.8: the least height of a target, in pixels.
LEAST_TARGET = 24

# Colours as the browser paints them, so that any way to write one is understood.
HELPERS = """
const canvas = document.createElement("canvas");
const paint = canvas.getContext("2d", { willReadFrequently: true });
const scheme = getComputedStyle(document.documentElement).colorScheme;
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const paper = dark && scheme.includes("dark") ? "#121212" : "#fff"; // the browser's own
const light = (colours) => {
  for (const colour of [paper, ...colours]) {
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
  }
  const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  const colours = [];
  for (let at = element; at; at = at.parentElement)
    colours.unshift(getComputedStyle(at).backgroundColor);
  return colours;
};
"""
PAGE_IS_DARK = "() => {" + HELPERS + "return light(behind(document.body)) < 0.2; }"
# For which colours a page says that it is prepared.
SCHEMES = """() => getComputedStyle(document.documentElement).colorScheme + " "
  + document.querySelector("meta[name=color-scheme]")?.content"""
# Of each text that somebody sees. What is disabled need not be read, and what is behind
# a text on a picture or a gradient, nobody can say.
CONTRASTS = (
    "() => {"
    + HELPERS
    + r"""
  const unwritten = ["checkbox", "radio", "range", "file", "color", "image"];
  const isText = (element) =>
    element.matches("input, textarea")
      ? !unwritten.includes(element.type)
      : [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
  const isSeen = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return width > 1 && height > 1 && element.checkVisibility();
  };
  const isOnAPicture = (element) => {
    for (let at = element; at; at = at.parentElement)
      if (getComputedStyle(at).backgroundImage !== "none") return true;
  };
  const texts = [...document.body.querySelectorAll("*")].filter(
    (element) =>
      element instanceof HTMLElement &&
      !element.closest(":disabled, [aria-disabled=true], [aria-hidden=true]") &&
      isText(element) && isSeen(element) && !isOnAPicture(element)
  );
  return texts.map((element) => {
    const page = light(behind(element));
    const text = light([...behind(element), getComputedStyle(element).color]);
    const contrast = (Math.max(page, text) + 0.05) / (Math.min(page, text) + 0.05);
    return [element.outerHTML.slice(0, 200), contrast];
  });
}
"""
)
# Have all that is there look as what is in these states. To a script, a browser does
# not tell how a link looks that was visited. Returns whether any rule is about them.
IN_STATES = r"""
(states) => {
  for (const [sheet, rule] of window.added ?? []) {
    sheet.deleteRule([...sheet.cssRules].indexOf(rule));
  }
  if (!window.added) {
    const rest = new CSSStyleSheet(); // No page forbids a script's own.
    rest.replaceSync("* { transition: none !important; animation: none !important; }");
    document.adoptedStyleSheets.push(rest);
  }
  window.added = [];
  const named = new RegExp(`(?:${states.join("|")})(?![-\w])`, "g");
  const copy = (sheet) => {
    [...sheet.cssRules].reverse().forEach((rule, number, { length }) => {
      if (rule.selectorText?.match(named)) {
        // As a selector, no heavier and no lighter. Behind a part of an element, such
        // as that of a scroll bar, it may not stand, and there is no text.
        const all = rule.cssText.replaceAll(named, ":not(.that-nobody-has)");
        try {
          sheet.insertRule(all, length - number);
          added.push([sheet, sheet.cssRules[length - number]]);
        } catch {}
      } else if (rule.cssRules) {
        copy(rule);
      }
    });
  };
  for (const sheet of document.styleSheets) {
    try {
      copy(sheet);
    } catch {} // It is another site's.
  }
  return added.length > 0;
}
"""
# Those that come together: what is pressed has the pointer on it.
FOCUS = [":focus", ":focus-within"]
STATES = [
    [":hover"],
    [":hover", ":active"],
    FOCUS,
    [*FOCUS, ":focus-visible"],
    [":visited"],
]
ENOUGH = 3  # things that are alike, to know how all of them look

# What has the focus, whether it had it before, how many like it had it, and where it
# is, in pixels. Alike are two that have, as all around them, one name, id, class.
FOCUSED = """
() => {
  window.seen ??= new WeakSet();
  window.kinds ??= {};
  const element = document.activeElement;
  const before = seen.has(element);
  seen.add(element);
  let kind = "";
  for (let around = element; around; around = around.parentElement)
    kind += [around.localName, around.id, around.className, ""].join(" ");
  kinds[kind] = (kinds[kind] ?? 0) + 1;
  // Where a frame would be, or a card that is marked: to compare pages costs more.
  const { left, top, right, bottom } = element.getBoundingClientRect();
  const [x, y] = [Math.max(left - 40, 0), Math.max(top - 40, 0)];
  const width = Math.min(right + 40, innerWidth) - x;
  const height = Math.min(bottom + 40, innerHeight) - y;
  const isInside = width > 0 && height > 0;
  const place = isInside ? { x, y, width, height } : null;
  return [element.outerHTML, before, kinds[kind] - 1, place];
}
"""


def each_page(window) -> Iterator[str]:
    """Show one page after the other; gives its path. In rooms, say something."""
    number = window.chat.target.stage.number
    doors = ["/chats/"] if number < 3 else ["/chats/", "/chats/long_poll/"]
    for rooms in doors:
        window.open(rooms)
        if number > 1:
            try:
                window.is_connected()
            except AssertionError as error:  # Whose fault that is, others say.
                raise NotJudged(f"{window.room} lets nobody speak") from error
            window.say("hello")
            expect(window.log, "the page shows what it says").to_contain_text("hello")
        yield window.room
    window.page.goto(window.chat.origin + "/chats/")
    yield "/chats/"


def test_what_the_keyboard_is_on_looks_otherwise(tab):
    window = tab()
    for path in each_page(window):
        marked = looks_otherwise(window.page)
        assert marked, f"Tab should come to something in {path}."
        plain = [element for element, is_marked in marked.items() if not is_marked]
        assert not plain, (
            f"Who goes through {path} by Tab should see where the keyboard is: with a "
            "frame around it, for example. With and without the focus, "
            f"{plain} look alike."
        )


def looks_otherwise(page) -> dict[str, bool]:
    """What Tab comes to in a page: HTML -> does it look otherwise then?"""
    marked: dict[str, bool] = {}
    page.evaluate("document.activeElement.blur()")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            continue  # It has left the page, and begins anew.
        element, before, alike, around = page.evaluate(FOCUSED)
        if before:
            break
        if alike >= ENOUGH:
            continue

        def looks(around=around) -> bytes:
            shot = {"animations": "disabled", "caret": "hide"}
            return page.screenshot(clip=around, **shot)

        focused = looks()
        page.evaluate("document.activeElement.blur()")  # Tab goes on from there.
        marked[element] = focused != looks()
    return marked


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_light_and_dark(tab, scheme):
    window = tab()
    window.prefer(scheme)
    page = window.page
    for path in each_page(window):
        dark = page.evaluate(PAGE_IS_DARK)
        has_them = scheme in page.evaluate(SCHEMES)
        assert dark == (scheme == "dark") or not has_them, (
            f"{path} says that it has {scheme} colours, too (color-scheme). Where the "
            f"reader asks for them, it should be {scheme}."
        )
        for states in [[], *STATES]:
            if states and not page.evaluate(IN_STATES, states):
                continue
            when = f" when it is {''.join(states)}" if states else ""
            for element, contrast in page.evaluate(CONTRASTS):
                assert contrast >= LEAST_CONTRAST, (
                    f"In {scheme} colours, in {path}, {element} has a contrast of "
                    f"{contrast:.1f}{when}; text needs {LEAST_CONTRAST}."
                )


@pytest.mark.stages(1, 1)
def test_what_is_typed_is_not_swallowed(tab):
    window = tab().open()
    window.page.evaluate("window.isTheSame = true")
    window.box.fill("Is anybody here?")
    window.box.press("Enter")
    for button in window.page.get_by_role("button").all():
        if button.is_enabled():
            button.click()
    # Whatever was to be asked for, has been asked for by then.
    window.page.goto(window.page.url + "#end")
    assert window.page.evaluate("window.isTheSame"), (
        "Nothing can be sent yet. The page should say so, and not load itself anew, as "
        "an enabled button does, or Enter in a form: that swallows what was typed."
    )
    kept = window.box.input_value()
    assert "Is anybody here?" in kept, (
        f"What was typed is gone. The box holds {kept!r}."
    )


def test_the_page_fits_a_phone(window):
    window = window(viewport={"width": 320, "height": 640}, has_touch=True).open()
    page = window.page
    # A hill in New Zealand. Its room is on the list, and has a page.
    [hill] = window.chat.make_rooms(
        "Taumatawhakatangihangakoauauotamateapokaiwhenuakitanatahu"
    )
    for path in (window.room, hill, "/chats/"):
        page.goto(window.chat.origin + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, (
            f"At 320 pixels, {path} is {width} wide: it scrolls sideways. There is a "
            "room whose name is a word of 57 letters."
        )
        for element in page.locator("input:not([type=hidden]), textarea, button").all():
            if not element.is_visible():
                continue
            height = element.bounding_box()["height"]
            assert height >= LEAST_TARGET, (
                f"{element.evaluate('e => e.outerHTML')} is {height:g} pixels high; "
                f"a finger needs {LEAST_TARGET}."
            )
