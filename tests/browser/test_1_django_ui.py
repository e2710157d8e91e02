"""Stage 1 in a real browser: the page is finished before anything is sent."""

from __future__ import annotations

import pytest

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
CONTRASTS = (
    "() => {"
    + HELPERS
    + """
  const texts = document.querySelectorAll(
    "h1, a, p, li, label, input, textarea, button:not(:disabled)"
  );
  return [...texts].map((element) => {
    const page = light(behind(element));
    const text = light([...behind(element), getComputedStyle(element).color]);
    const contrast = (Math.max(page, text) + 0.05) / (Math.min(page, text) + 0.05);
    return [element.outerHTML, contrast];
  });
}
"""
)


# What has the focus, and whether it had it before.
FOCUSED = """
() => {
  window.seen ??= new WeakSet();
  const element = document.activeElement;
  const before = seen.has(element);
  seen.add(element);
  return [element.outerHTML, before];
}
"""


def test_what_the_keyboard_is_on_looks_otherwise(tab):
    window = tab().open()
    page, marked = window.page, {}

    def looks() -> bytes:
        return page.screenshot(animations="disabled", caret="hide")

    window.box.blur()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            continue  # It has left the page, and begins anew.
        element, before = page.evaluate(FOCUSED)
        if before:
            break
        focused = looks()
        page.evaluate("document.activeElement.blur()")  # Tab goes on from there.
        marked[element] = focused != looks()
    assert any(marked.values()), f"Tab should go through the page: {[*marked]}."
    plain = [element for element, is_marked in marked.items() if not is_marked]
    assert not plain, (
        "Who goes through the page by Tab should see where the keyboard is: with a "
        f"frame around it, for example. With and without the focus, {plain} look alike."
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_light_and_dark(tab, scheme):
    window = tab()
    window.prefer(scheme)
    page = window.open().page
    dark = page.evaluate(PAGE_IS_DARK)
    assert dark == (scheme == "dark"), (
        f"Where the reader asks for {scheme} colours, the page should be {scheme}."
    )
    for element, contrast in page.evaluate(CONTRASTS):
        assert contrast >= LEAST_CONTRAST, (
            f"In {scheme} colours, {element} has a contrast of {contrast:.1f}; "
            f"text needs {LEAST_CONTRAST}."
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
