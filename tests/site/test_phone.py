"""Every page on a phone, dark: nothing sticks out, and it reads for everyone."""

import pytest

from tests.site.browsing import opened, paths, violations

WINDOW = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}


@pytest.mark.parametrize("path", paths())
def test_a_page_fits_a_phone(path, address, chromium):
    with opened(chromium, f"{address}/{path}", **WINDOW) as (page, complaints):
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= WINDOW["viewport"]["width"]
        assert not violations(page)
        assert not complaints
