"""What a browser sends when somebody presses a button of a form."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from bs4 import Tag


def buttons(form: Tag) -> list[Tag]:
    """What sends a form."""
    return form.select("button:not([type=button], [type=reset]), input[type=submit]")


def words(element: Tag) -> str:
    """What a screen reader says of a button."""
    shown = element.get("value", "")
    if element.name != "input":  # The value of a button is only sent.
        shown = element.get_text(" ", True)
    return element.get("aria-label") or shown


def button_of(form: Tag, pattern: str = "") -> Tag | None:
    """The first button of a form with such words; without a pattern, Enter's."""
    found = (one for one in buttons(form) if re.search(pattern, words(one), re.I))
    return next(found, None)


def sending(form: Tag, page: str, pattern: str = "") -> tuple[str, dict[str, str]]:
    """Where a form of the page at `page` is sent by such a button, and its fields."""
    fields = {}
    for field in form.select("[name]:is(input, select, textarea):not([disabled])"):
        if (value := value_of(field)) is not None:
            fields[field["name"]] = value
    button = button_of(form, pattern)
    if button is not None and button.get("name"):
        fields[button["name"]] = button.get("value", "")
    action = (button is not None and button.get("formaction")) or form.get("action")
    return urljoin(page, action or page), fields


def value_of(field: Tag) -> str | None:
    """What a field says before anybody fills it in; None where it says nothing."""
    if field.name == "textarea":
        return field.get_text()
    if field.name == "select":
        options = field.select("option[selected]") or field.select("option")
        return options[0].get("value", options[0].get_text()) if options else None
    kind = field.get("type", "text").lower()
    if kind in ("submit", "button", "reset", "image", "file"):
        return None
    if kind in ("checkbox", "radio"):
        return field.get("value", "on") if field.has_attr("checked") else None
    return field.get("value", "")
