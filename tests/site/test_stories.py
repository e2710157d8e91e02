"""Every command that a page shows runs, and prints what the page says."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tutorial.site.pages import RUN, Fence, Page, all_pages
from tutorial.site.story import following, matches

PAGES = all_pages()
STORIES = [
    page
    for page in PAGES
    if any(
        isinstance(block, Fence) and block.language in RUN and block.notrun is None
        for block in page.blocks
    )
]
NOT_RUN_AT_MOST = 48
# The others take as long as a reader's machine does with them.
SHORT = "1_django_ui.md"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


class Story:
    """The test of one page. The classes run side by side, where tests do."""

    page: Page

    def test_the_page_shows_what_its_commands_print(self, tmp_path):
        follow(self.page, tmp_path)


for page in STORIES:
    name = "Test_" + re.sub(r"\W", "_", page.path.removesuffix(".md"))
    marks = [pytest.mark.thorough] * (page.path != SHORT)
    globals()[name] = type(name, (Story,), {"page": page, "pytestmark": marks})


def follow(page: Page, tmp_path: Path) -> None:
    if "curl " in page.source and shutil.which("curl") is None:
        pytest.skip("NOT CHECKED: the page's commands need curl, and it is missing.")
    with following(page, tmp_path) as story:
        for said in story.tell():
            assert said.agrees, (
                f"{page.error(said.block.line, 'this should be printed:')}\n"
                + "\n".join(said.expected)
                + "\n--- but it prints:\n"
                + "\n".join(said.actual)
                + f"\n--- `python -m tutorial site rewrite {page.path}` puts it in."
            )


SERVER = """\
import os, signal, socket
with socket.create_server(("127.0.0.1", int(os.environ["CHAT_PORT"]))) as port:
    print("Ready.")
    with port.accept()[0]:
        signal.signal(signal.SIGINT, lambda *_: os._exit(print("Goodbye.") or 0))
    signal.pause()
"""


def test_ctrl_c_waits_until_a_server_can_end_politely(tmp_path):
    source = (
        "```console stays\n$ python server.py\nReady.\n```\n\n"
        "```console\n^C\nGoodbye.\n```"
    )
    with following(Page("page.md", source), tmp_path) as story:
        (story.clone / "server.py").write_text(SERVER)
        assert [said.actual for said in story.tell()] == [("Ready.",), ("Goodbye.",)]


def fences() -> list[tuple[Page, Fence]]:
    return [(p, b) for p in PAGES for b in p.blocks if isinstance(b, Fence)]


def test_every_block_is_run_or_says_why_not():
    silent = [
        str(page.error(block.line, f"{block.language or 'no language'}"))
        for page, block in fences()
        if block.language not in RUN and not block.notrun
    ]
    assert not silent, 'These blocks need notrun="a reason":\n' + "\n".join(silent)


def test_few_blocks_are_not_run():
    reasons = [block.notrun for _, block in fences() if block.notrun is not None]
    assert len(reasons) <= NOT_RUN_AT_MOST
    assert all(len(reason.split()) > 1 for reason in reasons)


@pytest.mark.parametrize(
    ("expected", "actual", "agree"),
    [
        (["one"], ["one"], True),
        (["one"], ["two"], False),
        (["one"], ["one", "two"], False),
        (["one", "[...]"], ["one", "two"], True),
        (["[...]", "two"], ["one", "two"], True),
        (["a [...] c"], ["a b c"], True),
        (["a [...] c"], ["a b", "c"], False),
        (["took in 0.1s"], ["took in 2.75s"], True),
        (["at 2026-11-22 10:00:00"], ["at 2030-01-01 23:59:59"], True),
        (["at 2026-11-22 10:00:00"], ["at noon"], False),
        (['{"timestamp": 1763800000.1}'], ['{"timestamp": 1799999999.25}'], True),
        (['{"timestamp": 1763800000.1}'], ['{"timestamp": 0.0}'], False),
        ([], ["something"], False),
        (["something"], [], False),
    ],
)
def test_outputs_agree_but_for_what_differs_from_run_to_run(expected, actual, agree):
    assert matches(tuple(expected), tuple(actual)) is agree
