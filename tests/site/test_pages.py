"""Every page, wide and light, then narrow and dark: quiet, and readable for all."""

import pytest
from playwright.sync_api import expect

from tests.site.browsing import KINDS, paths, violations, visited

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def reader(chromium):
    with chromium.new_context() as reader:
        reader.new_page()
        yield reader


@pytest.mark.thorough
@pytest.mark.parametrize("path", paths())
def test_a_page_is_quiet_and_reads_for_everyone(path, address, reader):
    [tab] = reader.pages
    tab.set_viewport_size(DESK)
    tab.emulate_media(color_scheme="light")
    with visited(reader, f"{address}/{path}") as (page, complaints):
        expect(page.locator("body")).to_have_attribute(
            "data-md-color-scheme", "default"
        )
        assert not violations(page)
        # As if the reader turned to a phone, in the dark: to load it anew takes longer.
        page.set_viewport_size(PHONE)
        page.emulate_media(color_scheme="dark")
        expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], "It scrolls sideways."
        if path in KINDS:
            assert not violations(page)
        assert not complaints
