"""Every page on a wide screen, light: it is quiet, and reads for everyone."""

import pytest

from tests.site.browsing import opened, paths, violations

WINDOW = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"}


@pytest.mark.parametrize("path", paths())
def test_a_page_is_quiet_and_accessible(path, address, chromium):
    with opened(chromium, f"{address}/{path}", **WINDOW) as (page, complaints):
        assert not violations(page)
        assert not complaints


@pytest.mark.parametrize("path", paths())
def test_a_page_reads_without_scripts(path, address, chromium):
    options = {**WINDOW, "java_script_enabled": False}
    with opened(chromium, f"{address}/{path}", **options) as (page, complaints):
        assert len(page.locator("article").inner_text()) > 400
        assert not complaints


def test_search_finds_words_offline(address, chromium):
    with opened(chromium, f"{address}/index.html", **WINDOW) as (page, complaints):
        box = page.get_by_role("textbox", name="Search")
        box.click()
        box.press_sequentially("producer")
        page.locator(".md-search-result__item").first.wait_for()
        assert not complaints
