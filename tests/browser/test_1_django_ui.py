"""Stage 1 in a real browser: the page is finished before anything is sent."""

from __future__ import annotations

import pytest

SINCE_STAGE = 1

# WCAG 2.2, success criterion 1.4.3: the least contrast of text.
LEAST_CONTRAST = 4.5
# WCAG 2.2, success criterion 2.5.8: the least height of a target, in pixels.
LEAST_TARGET = 24

CONTRASTS = """
() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches
      ? "rgb(0, 0, 0)" : "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("h1, a, p, label, input, button")].map((e) => {
    const pair = [light(getComputedStyle(e).color), light(background(e))].sort();
    return [e.outerHTML, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
  });
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_light_and_dark(window, scheme):
    page = window(color_scheme=scheme).open().page
    dark = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0] < 128"
    )
    assert dark == (scheme == "dark"), (
        f"Where the reader asks for {scheme} colours, the page should be {scheme}."
    )
    for element, contrast in page.evaluate(CONTRASTS):
        assert contrast >= LEAST_CONTRAST, (
            f"In {scheme} colours, {element} has a contrast of {contrast:.1f}; "
            f"text needs {LEAST_CONTRAST}."
        )


@pytest.mark.parametrize("path", ["/chats/", None], ids=["list", "room"])
def test_the_page_fits_a_phone(window, path):
    window = window(viewport={"width": 320, "height": 640}, has_touch=True)
    page = window.open().page
    if path:
        page.goto(window.chat.origin + path)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 320, f"At 320 pixels the page is {width} wide: it scrolls sideways."
    for element in page.locator("a, input, textarea, button").all():
        height = element.bounding_box()["height"]
        assert height >= LEAST_TARGET, (
            f"{element.evaluate('e => e.outerHTML')} is {height:g} pixels high; "
            f"a finger needs {LEAST_TARGET}."
        )
