"""What a reader does with the pages: reads them without scripts, searches, prints."""

import pytest

from tests.site.browsing import KINDS, opened

WINDOW = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"}


@pytest.mark.parametrize("path", KINDS)
def test_a_page_reads_without_scripts(path, address, chromium):
    options = {**WINDOW, "java_script_enabled": False}
    with opened(chromium, f"{address}/{path}", **options) as (page, complaints):
        assert len(page.locator("article").inner_text()) > 400
        assert not complaints


def test_search_finds_words_offline(address, chromium):
    index = f"{address}/index.html"
    with opened(chromium, index, searches=True, **WINDOW) as (page, complaints):
        box = page.get_by_role("textbox", name="Search")
        box.click()
        box.press_sequentially("producer")
        page.locator(".md-search-result__item").first.wait_for()
        assert not complaints


@pytest.mark.parametrize("path", ["index.html", "2_websocket.html"])
def test_paper_shows_what_is_folded(path, address, chromium):
    with opened(chromium, f"{address}/{path}", **WINDOW) as (page, complaints):
        folded = page.locator("article details > :not(summary)")
        seen = "elements => elements.map(element => element.checkVisibility())"
        assert not any(folded.evaluate_all(seen))
        page.emulate_media(media="print")
        assert all(folded.evaluate_all(seen))
        assert not complaints


def test_the_copy_button_takes_what_one_types(address, chromium):
    with opened(chromium, f"{address}/index.html", **WINDOW) as (page, complaints):
        # What the theme does before it reads the text of a block.
        block = (
            page.locator("pre > code")
            .get_by_text("print(6 * 7)")
            .locator("xpath=ancestor::code")
        )
        block.evaluate("code => code.setAttribute('data-md-copying', '')")
        assert block.inner_text().strip() == 'python -c "print(6 * 7)"'
        assert not complaints
