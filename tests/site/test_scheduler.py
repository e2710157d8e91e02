"""The interactive page: it says what the laboratory says, and everyone can use it.

The model is driven through every schedule, and compared with the laboratory's own
telling, line by line. The page is driven by its buttons, its keys and its links.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest
from playwright.sync_api import expect

from tests.site.browsing import opened, violations, visited
from tests.support.whitebox import stage_modules
from tutorial.site.pages import DOCS
from tutorial.stages import find_stage

STAGE = find_stage("stage4_locking_gil").folder
CLOCKS = ["ticking", "frozen", "backward"]
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
KEYS = {"1": "1", "2": "2", "R": "3"}
SKIPPED = "#sorted/ticking/A1.A2.B2.R.B1"
OVERWRITTEN = "#lock/frozen/L1.A1.B1.U1.L2.A2.B2.U2.R"
BLOCKED = "#lock/ticking/L1.A1"

# What the laboratory tells of every schedule that the data has.
TELL_ALL = """
import json, sys
from lab.__main__ import replay
print(json.dumps([replay(*each) for each in json.load(sys.stdin)]))
"""

# What the page's model tells of every schedule, in the shape of the laboratory.
PLAY_ALL = """
async () => {
  const model = await import("./js/scheduler/model.js");
  const { Game, Lab, readLink, short, verdict } = model;
  const lab = new Lab(await (await fetch("scheduler.json")).json());
  const game = new Game(lab);
  const told = {};
  for (const [name, design] of lab.designs) {
    for (const clock of ["ticking", "frozen", "backward"]) {
      for (const leaf of design.tree(clock).leaves) {
        game.choose(name, clock);
        const line = (what) => {
          const { cursor } = what.startsWith("end") ? game.reader : game.node.readers.R;
          const stands = cursor ? short(design.number(cursor)) : "0";
          return what.padEnd(30) + `R ${stands}`.padEnd(12) + game.store;
        };
        const lines = [line("")];
        for (const step of leaf.steps) {
          const thread = step.startsWith("R") ? "R" : step.slice(1);
          if (!game.step(thread)) throw new Error(`${leaf.schedule}: ${step}`);
          lines.push(line(step.padEnd(4) + game.told));
        }
        lines.push(line("end readers poll to the end"));
        const found = readLink(lab, game.link);
        told[game.link] = {
          lines,
          verdict: verdict(game.leaf),
          again: [found.design, found.clock, found.steps.join(" "), found.problem],
          fates: Object.values(game.messages).map(({ is, received }) => [is, received]),
          open: game.open,
        };
      }
    }
  }
  return told;
}
"""


@pytest.fixture(scope="module")
def toy_address(address):
    return f"{address}/scheduler.html"


@pytest.fixture(scope="module")
def data(site):
    found = json.loads((site / "scheduler.json").read_text("utf-8"))
    return {design["id"]: design for design in found["designs"]}


@pytest.fixture(scope="module")
def windows(chromium):
    """A function that returns the window with some options: a new one takes long."""
    found = {}
    with ExitStack() as stack:

        def window(**options):
            key = repr(sorted(options.items()))
            if key not in found:
                found[key] = stack.enter_context(chromium.new_context(**options))
            return found[key]

        yield window


@pytest.fixture
def toy(toy_address, windows):
    """A function that opens the page; afterwards its console must be empty."""

    @contextmanager
    def open_toy(fragment="", **options):
        window = windows(**{"reduced_motion": "reduce", **DESKTOP, **options})
        with visited(window, toy_address + fragment) as (page, complaints):
            page.locator("#scheduler[data-ready]").wait_for()
            try:
                yield Toy(page)
            finally:
                page.evaluate("localStorage.clear()")  # The next reader is a new one.
            # A page that is left while it loads has not got its icon.
            assert not [text for text in complaints if "favicon" not in text]

    return open_toy


class Toy:
    """The page, by what a reader sees of it."""

    def __init__(self, page):
        self.page = page
        self.root = page.locator("#scheduler")
        self.status = self.root.locator(".status")
        self.levels = self.root.get_by_role("navigation", name="Levels")

    def button(self, name, **options):
        return self.root.get_by_role("button", name=name, **options)

    def step_button(self, thread):
        names = {"1": "Writer 1:", "2": "Writer 2:", "R": "Reader:"}
        return self.button(re.compile(f"^{names[thread]}"))

    def press(self, keys):
        for key in keys:
            self.page.keyboard.press(key)

    def play(self, schedule):
        self.press(KEYS["R" if s == "R" else s[1:]] for s in schedule.split())

    @property
    def schedule(self):
        tiles = self.root.locator(".schedule [data-is=taken] button")
        return " ".join(tiles.all_inner_texts())

    @property
    def fragment(self):
        return self.page.evaluate("location.hash")

    @property
    def focused(self):
        return self.page.evaluate("document.activeElement.innerText")

    def level(self, name):
        self.page.evaluate("name => { location.hash = 'level/' + name }", name)
        button = self.levels.get_by_role("button").nth(level_ids().index(name))
        expect(button).to_have_attribute("aria-current", "step")


# The model says what the laboratory says


@pytest.fixture(scope="module")
def played(toy_address, chromium):
    with opened(chromium, toy_address, **DESKTOP) as (page, complaints):
        found = page.evaluate(PLAY_ALL)
        assert not complaints
    return found


@pytest.fixture(scope="module")
def schedules(data):
    """Every schedule of the data: [design, schedule, clock], and its end."""
    return [
        ([design, schedule, clock], node["end"]["R"])
        for design in data
        for clock in CLOCKS
        for schedule, node in data[design]["trees"][clock].items()
        if "end" in node
    ]


def link_to(design, schedule, clock):
    return f"#{design}/{clock}/{schedule.replace(' ', '.')}"


def test_the_model_plays_every_schedule(data, schedules, played):
    counts = [
        design["clocks"][clock]["schedules"]
        for design in data.values()
        for clock in CLOCKS
    ]
    assert len(schedules) == sum(counts) > 700
    assert list(played) == [link_to(*which) for which, _ in schedules]


def test_every_leaf_gives_the_verdict_of_the_data(schedules, played):
    for which, end in schedules:
        told = played[link_to(*which)]
        fates = dict(zip(["m1", "m2"], told["fates"], strict=True))
        for text, (stands, received) in fates.items():
            assert received == (text in end["received"]), which
            how = end["lost"].get(text)
            assert stands == (how or stands) and (received or how), which
        assert told["open"] == {"all": 1, "losing": int(bool(end["lost"]))}
        design, schedule, clock = which
        assert told["again"] == [design, clock, schedule, None]


@pytest.mark.thorough
def test_every_line_is_what_replay_prints(schedules, played):
    done = subprocess.run(
        [sys.executable, "-c", TELL_ALL],
        cwd=STAGE,
        input=json.dumps([which for which, _ in schedules]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for (which, _), text in zip(schedules, json.loads(done.stdout), strict=True):
        told = played[link_to(*which)]
        *_, heading = text.split("\n")[:3]
        assert heading.startswith("step")
        lines, _, rest = "\n".join(text.split("\n")[3:]).partition("\n\n")
        assert told["lines"] == lines.split("\n"), which
        assert told["verdict"] == rest.split("\n")[0], which


def test_the_code_shown_is_the_code_that_runs(data, toy):
    with stage_modules(STAGE, "lab.explore") as [explore], toy("#sorted/") as page:
        for name, design in explore.DESIGNS.items():
            page.root.get_by_label("Store").select_option(name)
            figures = page.root.locator(".code figure")
            shown = [
                figure.locator("code").evaluate(
                    """code => {
                      const copy = code.cloneNode(true);
                      for (const flag of copy.querySelectorAll(".code-flags")) {
                        flag.remove();
                      }
                      return copy.textContent;
                    }"""
                )
                for figure in figures.all()
            ]
            wanted = [design.store.post]
            if name == "reactor":
                wanted.append(explore.stores.SortedStore.post)
            wanted += [part.__setitem__ for part in design.parts]
            wanted.append(design.store.next_after)
            if name == "reactor":
                wanted.append(explore.stores.SortedStore.next_after)
            sources = [inspect.getsource(method) for method in wanted]
            dedented = [re.sub(r"(?m)^ {4}", "", source) for source in sources]
            assert shown == dedented, name
            marked = page.root.locator("[data-letters]").evaluate_all(
                "all => all.map(each => each.dataset.letters).join('')"
            )
            assert set(marked) == {*design.steps, "R"}, name
            flags = page.root.locator(".code-flags i").all_inner_texts()
            assert set(flags) == set(data[name]["trees"]["ticking"][""]["next"]), name


# The levels


def level_ids():
    text = (DOCS / "js" / "scheduler" / "levels.js").read_text("utf-8")
    return re.findall(r'(?m)^    id: "([\w-]+)"', text)


@pytest.mark.thorough
def test_every_level_can_be_won_as_it_says(toy):
    with toy() as page:
        done = page.levels.get_by_role("button", name=re.compile("done$"))
        for level in level_ids():
            page.level(level)
            win(page)
            last = level == level_ids()[-1]
            page.button("Play freely" if last else "Next level").click()
            expect(done).to_have_count(level_ids().index(level) + 1)
        page.page.reload()
        expect(done).to_have_count(len(level_ids()))
        page.button("Forget my progress").click()
        expect(done).to_have_count(0)


def win(page):
    """Do what the level asks, by what it offers itself."""
    goal = page.root.get_by_role("region", name="Goal")
    goal.get_by_text("Hint").click()
    assert "{" not in page.root.inner_text().split("The store, in its")[0]
    tasks = goal.get_by_role("listitem").all()
    for task in tasks:
        expect(task).not_to_contain_text("Done: ")
    for task in tasks:
        expect(page.button("Next level")).to_be_hidden()
        if "another clock" in task.inner_text():
            page.root.get_by_label("Clock").select_option("frozen")
        page.button(re.compile("^Show ")).click()
        planned = page.root.locator(".schedule [data-is=planned] button")
        page.play(" ".join(planned.all_inner_texts()))
        expect(task).to_contain_text("Done: ")
    question = page.root.locator("fieldset:visible")
    if question.count():
        answers = question.get_by_role("button").all()
        assert len(answers) == 3
        for answer in sorted(answers, key=is_right):
            expect(page.root.locator(".lesson")).to_be_hidden()
            answer.click()
            expect(question.get_by_role("status")).not_to_be_empty()
    assert "{" not in page.root.locator(".lesson").inner_text()


def is_right(answer):
    return "No later stamp" in (text := answer.inner_text()) or text in (
        "A little after 2.0",
        "Appending gives the number and makes the message visible, both at once.",
    )


def test_the_levels_come_one_after_the_other(toy):
    with toy() as page:
        current = page.levels.locator("[aria-current=step]")
        expect(current).to_have_text(re.compile(r"Level 1\b"))
        page.play("A1 A2 B2 R B1")
        expect(page.status).to_contain_text("m1 is lost: skipped.")
        expect(page.status).to_contain_text("The goal is reached.")
        page.button("Next level").click()
        expect(current).to_have_text(re.compile(r"Level 2\b"))
        assert page.focused == "Lose one although the scan is sorted"
        page.page.go_back()
        expect(current).to_have_text(re.compile(r"Level 1\b"))
        assert page.schedule == "A1 A2 B2 R B1"
        page.page.go_forward()
        expect(current).to_have_text(re.compile(r"Level 2\b"))
        assert page.schedule == ""
        page.play("A2 A1")
        page.page.reload()
        expect(current).to_have_text(re.compile(r"Level 2\b"))
        assert page.schedule == "A2 A1"


def test_where_nothing_can_be_stored_it_works_all_the_same(toy, chromium, toy_address):
    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw 1; }})"
    with opened(chromium, "about:blank", **DESKTOP) as (page, _):
        page.unroute_all()
        page.add_init_script(refuse)
        page.goto(toy_address)
        found = Toy(page)
        found.root.locator(".status").wait_for()
        found.play("A1 A2 B2 R B1")
        found.button("Next level").click()
        done = found.levels.get_by_role("button", name=re.compile("done$"))
        expect(done).to_have_count(1)


# What is said while one plays


def test_each_step_says_what_is_still_open(data, toy):
    nodes = data["sorted"]["trees"]["ticking"]
    ends = {name: node["end"]["R"] for name, node in nodes.items() if "end" in node}
    with toy("#sorted/ticking/") as page:
        taken = []
        for step in ["A1", "A2", "B2"]:
            page.play(step)
            taken.append(step)
            prefix = " ".join(taken)
            left = [end for name, end in ends.items() if name.startswith(prefix)]
            losing = sum(bool(end["lost"]) for end in left)
            expect(page.status).to_contain_text(f"Still open: {len(left)}, of which ")
            expect(page.status).to_contain_text(f" {losing} lose")
            faded = page.root.locator(".strip-squares [data-out]")
            expect(faded).to_have_count(len(ends) - len(left))
        page.play("R")
        expect(page.status).to_have_text(
            "R gets m2. Still open: 1, and it loses one. "
            "Too late: whoever runs next, a message is lost. "
        )
        page.play("B1")
        expect(page.status).to_contain_text("m1 is lost: skipped.")
        expect(page.root.locator(".axis")).to_have_attribute(
            "aria-label",
            "The cursor stands at 2.0. m1, at 1.0: lost: skipped. "
            "m2, at 2.0: ✓ received.",
        )


def test_overwritten_looks_unlike_skipped(toy):
    with toy(OVERWRITTEN) as page:
        card = page.root.locator(".axis-card[data-thread='1']")
        expect(card).to_have_attribute("data-is", "overwritten")
        expect(card).to_contain_text("lost: overwritten")
        shelf = page.root.locator(".axis-shelf").bounding_box()
        assert card.bounding_box()["y"] > shelf["y"]
    with toy(SKIPPED) as page:
        card = page.root.locator(".axis-card[data-thread='1']").bounding_box()
        grey = page.root.locator(".axis-seen").bounding_box()
        shelf = page.root.locator(".axis-shelf").bounding_box()
        assert card["x"] + card["width"] < grey["x"] + grey["width"]
        assert abs(card["y"] + card["height"] - shelf["y"]) < 3


def test_where_the_lock_bites_a_button_says_why(toy):
    with toy(BLOCKED) as page:
        button = page.step_button("2")
        expect(button).to_have_attribute("aria-disabled", "true")
        expect(button).to_have_accessible_name(re.compile("Writer 2: L2 take the lock"))
        expect(button).to_have_accessible_description(
            "blocked: writer 1 holds the lock"
        )
        button.focus()
        page.press(["Enter"])
        assert page.schedule == "L1 A1"
        expect(page.status).to_contain_text("L2 is blocked: writer 1 holds the lock.")
        expect(button).to_be_focused()
        page.play("B1 U1")
        expect(button).not_to_have_attribute("aria-disabled", "true")


def test_an_order_is_shown_step_by_step(toy):
    with toy("#sorted/ticking/A1") as page:
        page.button("Show a losing order").click()
        assert page.schedule == "A1"
        planned = page.root.locator(".schedule [data-is=planned]")
        assert planned.all_inner_texts() == ["A2", "B2", "R", "B1"]
        marked = page.root.locator("[data-planned]")
        expect(marked).to_have_count(1)
        expect(marked).to_contain_text("A2")
        page.play("A2 B2")
        page.play("B1")  # another way
        expect(planned).to_have_count(0)
    with toy("#append/frozen/P1") as page:
        page.button("Show a losing order").click()
        expect(page.status).to_contain_text("There is none: all 6 orders deliver both")
    with toy("#level/one-thread") as page:  # whose first task asks for another clock
        page.root.get_by_label("Clock").select_option("frozen")
        page.button(re.compile("^Show ")).click()
        planned = page.root.locator(".schedule [data-is=planned]")
        assert planned.all_inner_texts() == ["P1", "P2", "R"]


# Links


@pytest.mark.parametrize("fragment", [SKIPPED, OVERWRITTEN, "#reactor/frozen/P1.R.P2"])
def test_a_link_its_command_and_the_laboratory_agree(fragment, toy):
    with toy(fragment) as page:
        assert page.fragment == fragment
        link = page.root.get_by_role("link")
        expect(link).to_have_attribute("href", fragment)
        command = page.root.locator(".take-command code").inner_text()
        lost = page.status.inner_text()
    assert command.startswith("python -m lab replay ")
    _, *arguments = re.findall(r'"[^"]*"|\S+', command)
    done = subprocess.run(
        [sys.executable, *[argument.strip('"') for argument in arguments]],
        cwd=STAGE,
        capture_output=True,
        text=True,
        timeout=60,
    )
    verdict = re.search(r"m\d is lost: \w+", done.stdout)[0]
    assert verdict in lost


def test_links_and_commands_are_copied(toy):
    allowed = {"permissions": ["clipboard-read", "clipboard-write"]}
    with toy(OVERWRITTEN, **allowed) as page:
        read = "navigator.clipboard.readText()"
        page.button("Copy command").click()
        expect(page.root.get_by_text("Copied.")).to_be_visible()
        assert page.page.evaluate(read) == (
            'python -m lab replay lock "L1 A1 B1 U1 L2 A2 B2 U2 R" --clock frozen'
        )
        page.button("Copy link").click()
        page.page.wait_for_function(f"async () => (await {read}).includes('#lock')")
        assert page.page.evaluate(read) == page.page.url


# The fragment, words of the sentence, and the steps that could be taken.
BAD_LINKS = [
    ("#no-such/ticking/A1", "no design is called “no-such”", ""),
    ("#sorted/often/A1", "no clock is called “often”; there are ticking,", ""),
    ("#sorted/ticking/A1.X1", "after A1 X1 cannot run; next could be B1 or", "A1"),
    ("#sorted/ticking/B1", "at the start B1 cannot run; next could be A1 or", ""),
    (
        "#lock/ticking/L1.L2",
        "after L1 L2 waits for the lock that 1 holds; next could be A1 or R",
        "L1",
    ),
    (
        "#append/ticking/P1.P2.R.R",
        "R comes after everything is done",
        "P1 P2 R",
    ),
    ("#constructor/__proto__/A1", "no design is called “constructor”", ""),
    ("#sorted/constructor/A1", "no clock is called “constructor”", ""),
    ("#sorted/ticking/toString.A1", "at the start toString cannot run", ""),
    ("#%E0%A4%A/ticking", "no design is called", ""),
    ("#<img src=x onerror=alert(1)>/ticking/", "no design is called “<img", ""),
    ("#level/no-such", "No level is called “no-such”.", ""),
]


def test_a_bad_link_gets_a_sentence(toy):
    with toy(BAD_LINKS[0][0]) as page:
        for fragment, words, played in BAD_LINKS:
            page.page.evaluate("to => { location.hash = to }", fragment)
            expect(page.status, fragment).to_contain_text(words)
            assert page.schedule == played, fragment
            page.press(["r", "1"])
            expect(page.status, fragment).not_to_contain_text(words)
            assert page.schedule[1:] == "1"
            page.button("Start again").click()


def test_an_address_without_steps_is_left_alone(toy):
    with toy("#every-order") as page:
        assert page.fragment == "#every-order"
        page.step_button("1").click()
        assert page.fragment == "#unsorted/ticking/A1"


def test_the_orders_worth_a_look_can_be_looked_at(toy):
    with toy() as page:
        links = page.page.locator("article li > a[href*='/']")
        assert links.count() >= 5
        for link in links.all():
            fragment, text = link.get_attribute("href"), link.inner_text()
            assert f"#{link.get_attribute('id')}" == fragment
            link.click()
            page.page.wait_for_function("hash => location.hash === hash", arg=fragment)
            assert page.schedule == text
            whole = page.root.locator(".schedule").inner_text().split()
            assert whole == [*text.split(), "end"]
            expect(page.root.locator(".schedule [data-over]")).to_have_count(1)
            said = link.locator("xpath=..").inner_text()
            lost = "nothing is lost" not in said
            mood = "bad" if lost else "good"
            expect(page.status).to_have_attribute("data-mood", mood)
            assert fragment.startswith(f"#{said.split(' on ')[1].split(':')[0]}/")
            expect(page.root.get_by_role("heading")).to_be_focused()


# Hands


def test_undo_and_the_tiles_of_the_schedule(toy):
    with toy() as page:
        expect(page.button("Undo")).to_have_attribute("aria-disabled", "true")
        page.play("A1 A2 B2 R")
        page.button("Undo").click()
        page.button("Undo").click()
        assert page.schedule == "A1 A2"
        assert page.fragment == "#unsorted/ticking/A1.A2"
        page.button("R, planned").click()
        assert page.schedule == "A1 A2 B2 R"
        page.button("after A1").click()
        assert page.schedule == "A1"
        page.button("Start again").click()
        assert page.schedule == ""
        page.press("u")
        assert page.schedule == ""


def test_the_keyboard_alone_is_enough(toy):
    with toy() as page:
        page.page.locator("#scheduler .levels button").first.focus()
        for _ in range(40):
            page.press(["Tab"])
            if page.focused.startswith("Writer 1"):
                break
        for wanted in ["A1 A2", "A1 A2 B2", "A1 A2 B2 R", "A1 A2 B2 R B1"]:
            thread = wanted.split()[-1].lstrip("AB")
            if page.schedule == "":
                page.press(["Enter"])
            page.step_button(thread).focus()
            page.press(["Space"])
            assert page.schedule == wanted
            expect(page.step_button(thread)).to_be_focused()
        expect(page.step_button("1")).to_have_attribute("aria-disabled", "true")
        page.press(["Tab"])  # to the next level, or to the other lanes
        page.press("ru")
        assert page.schedule == ""


def test_keys_are_shown_and_can_be_switched_off(toy):
    with toy() as page:
        hints = page.root.locator(".lanes kbd")
        expect(hints.first).to_be_visible()
        switch = page.root.get_by_role("checkbox", name="Keys")
        switch.uncheck()
        expect(hints.first).to_be_hidden()
        page.press("12")
        page.step_button("1").focus()
        page.press("12u3r")
        assert page.schedule == ""
        page.page.reload()
        expect(switch).not_to_be_checked()
        switch.check()
        page.press("1")
        assert page.schedule == "A1"


def test_keys_do_nothing_where_one_writes_or_chooses(toy):
    with toy("#sorted/ticking/") as page:
        page.root.get_by_label("Store").focus()
        page.press("u1")
        assert page.schedule == ""
        search = page.page.locator("#__search")  # the theme's: is it open?
        page.page.get_by_role("textbox", name="Search").click()
        expect(search).to_be_checked()
        page.press("1")
        page.press(["Control+1"])
        assert page.schedule == ""
        page.page.keyboard.press("Escape")
        expect(search).not_to_be_checked()
        page.page.locator("footer").scroll_into_view_if_needed()
        page.page.get_by_text("The permanent link says").click()
        page.press("1")
        assert page.schedule == ""


# Eyes, ears, and small screens

STATES = {
    "start": "",
    "skipped": SKIPPED,
    "overwritten": OVERWRITTEN,
    "blocked": BLOCKED,
    "level": "#level/append",
}


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(state, toy):
    with toy(STATES[state], color_scheme="light") as page:
        if state == "level":
            page.play("P1 R P2")
            page.root.locator(".question button").first.click()
        elif state == "start":
            page.button("Show a losing order").click()
            page.play("A1")
            page.root.locator("summary").first.click()
        for scheme in ["light", "dark"]:
            page.page.emulate_media(color_scheme=scheme)
            body = page.page.locator("body")
            theme = {"light": "default", "dark": "slate"}[scheme]
            expect(body).to_have_attribute("data-md-color-scheme", theme)
            # The rest of the page is judged with all the others.
            assert not violations(page.page, "#scheduler")
        page.page.emulate_media(color_scheme="light")  # for the next test


@pytest.mark.parametrize("state", STATES)
def test_a_phone_is_wide_enough_and_a_thumb_fits(state, toy):
    with toy(STATES[state], **PHONE) as page:
        if state == "level":
            page.play("P1 R P2")
        width = page.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360
        sizes = page.root.evaluate(
            """root => [...root.querySelectorAll("button, select, summary, label, a")]
              .filter(each => each.checkVisibility())
              .map(each => [each.innerText, each.getBoundingClientRect()])
              .map(([text, { width, height }]) => [text, width, height])"""
        )
        assert len(sizes) > 15
        small = [s for s in sizes if min(s[1], s[2]) < 43.9]
        assert not small
        clipped = page.root.evaluate(
            """root => [...root.querySelectorAll(".axis-card, .lane *, .levels *")]
              .filter(each => each.checkVisibility({visibilityProperty: true}))
              .filter(each => !each.closest(".hidden, .wide"))
              .filter(each => each.scrollWidth > each.clientWidth + 1
                && getComputedStyle(each).display !== "inline")
              .map(each => each.outerHTML)"""
        )
        assert not clipped


def test_one_region_speaks_once_for_each_step(toy):
    with toy() as page:
        page.page.evaluate(
            """() => {
              window.spoken = [];
              const live = document.querySelectorAll("#scheduler [role=status]");
              const what = {childList: true, subtree: true, characterData: true};
              for (const region of live) {
                const hear = () => window.spoken.push(region.innerText);
                new MutationObserver(hear).observe(region, what);
              }
            }"""
        )
        page.play("A1 A2 B2")
        spoken = page.page.evaluate("window.spoken")
        assert [text.split(".")[0] for text in spoken] == [
            "Writer 1 takes number 1",
            "Writer 2 takes number 2",
            "Writer 2 stores m2",
        ]
        assert all(len(text) < 130 for text in spoken)


def test_nothing_moves_for_those_who_do_not_want_it(toy):
    moving = """all => all.filter(
      each => parseFloat(getComputedStyle(each).transitionDuration) > 0).length"""
    with toy() as page:
        assert page.root.locator(".axis-card, .axis-cursor").evaluate_all(moving) == 0
    with toy(reduced_motion="no-preference") as page:
        assert page.root.locator(".axis-card, .axis-cursor").evaluate_all(moving) == 3


def test_forced_colours_keep_what_counts(toy):
    with toy(SKIPPED, forced_colors="active") as page:
        losing = page.root.locator(".strip-squares [data-how=skipped]").first
        mark = "each => getComputedStyle(each, '::before').content"
        assert "✕" in losing.evaluate(mark)
        grey = page.root.locator(".axis-seen")
        seen = grey.evaluate("each => getComputedStyle(each).backgroundColor")
        assert seen not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")


# Without


def test_without_scripts_a_sentence_and_the_table_stay(toy_address, chromium):
    options = {**PHONE, "java_script_enabled": False}
    with opened(chromium, toy_address, **options) as (page, complaints):
        expect(page.get_by_text("It needs JavaScript")).to_be_visible()
        expect(page.locator("table.outcomes")).to_be_visible()
        expect(page.locator("table.outcomes tbody tr")).to_have_count(12)
        assert not complaints


def test_without_the_data_a_sentence_and_the_table_stay(toy_address, chromium):
    with opened(chromium, "about:blank", **DESKTOP) as (page, _):
        page.unroute_all()
        page.route("**/scheduler.json", lambda route: route.fulfill(status=404))
        page.goto(toy_address)
        expect(page.get_by_text("The schedules could not be loaded.")).to_be_visible()
        expect(page.locator("table.outcomes")).to_be_visible()


def test_nothing_here_reads_markup():
    scripts = [DOCS / "js" / "scheduler.js", *(DOCS / "js" / "scheduler").glob("*.js")]
    assert len(scripts) > 5
    for path in scripts:
        text = path.read_text("utf-8")
        markup = r"(inner|outer)HTML|insertAdjacent|document\.write|eval\("
        found = re.search(markup, text)
        assert not found, f"{path.name}: {found[0]}"
        assert "console." not in text


def test_nothing_on_the_page_is_handled_inline(toy):
    with toy(OVERWRITTEN) as page:
        inline = page.page.evaluate(
            """() => [...document.querySelectorAll("article *")].flatMap(each =>
              each.getAttributeNames().filter(name => name.startsWith("on")))"""
        )
        assert inline == []


# What one should not have to do, or to look for


def test_where_one_order_is_left_it_runs_to_the_end(toy):
    with toy("#sorted/ticking/A1.A2.B2") as page:
        run_on = page.button("Only one order is left")
        expect(run_on).to_be_hidden()
        page.play("R")
        run_on.click()
        assert page.schedule == "A1 A2 B2 R B1"
        assert page.fragment == SKIPPED
        expect(page.status).to_contain_text("m1 is lost: skipped.")
        expect(run_on).to_be_hidden()
        page.press("uue")  # two are open again, and the key does nothing
        assert page.schedule == "A1 A2 B2"
        page.press("3e")
        assert page.schedule == "A1 A2 B2 R B1"


@pytest.mark.parametrize("level", ["counter", "gil"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [("Yes, a message is lost.", "As you said."), ("No, both arrive now.", "You said")],
)
def test_who_knows_the_order_says_what_comes_and_sees_it(level, answer, said, toy):
    with toy(f"#level/{level}") as page:
        page.button(answer).click()
        assert page.schedule == "A1 A2 B2 R B1"
        expect(page.status).to_contain_text(said)
        expect(page.status).to_contain_text("The goal is reached.")
        expect(page.button("Next level")).to_be_visible()
        expect(page.button(answer)).to_be_hidden()


def test_the_wrong_message_lost_is_said_to_be_the_wrong_one(toy):
    with toy("#level/wrong-place") as page:
        page.play("A1 A2 B2 R B1")
        expect(page.status).to_contain_text(
            "You have lost m1, and this level asks for m2"
        )
        page.button("Start again").click()
        page.play("A2 A1 B1 R B2")
        expect(page.status).to_contain_text("The goal is reached.")


def test_the_last_level_ends_with_a_finale_when_none_is_left(toy):
    with toy("#level/one-thread") as page:
        win(page)
        finale = page.root.locator(".finale")
        expect(finale).to_be_hidden()
        expect(page.root.locator(".lesson")).to_contain_text(
            "Still to play: level 1, 2,"
        )
        for level in level_ids()[:-1]:
            page.level(level)
            win(page)
        page.level("one-thread")
        page.play("P1 R P2")
        expect(finale).to_be_visible()
        expect(finale).to_contain_text("a number promises order only if")


def test_a_digit_plays_although_a_clock_was_just_chosen(toy):
    with toy("#level/one-thread") as page:
        clock = page.root.get_by_label("Clock")
        clock.focus()
        clock.select_option("frozen")
        page.press("132")
        assert page.schedule == "P1 R P2"
        expect(clock).to_have_value("frozen")


def test_the_skip_link_leads_to_the_game(toy):
    with toy(**PHONE) as page:
        page.press(["Tab"])
        assert page.focused == "Skip to the game"
        page.press(["Enter", "Tab", "Enter"])
        assert page.schedule == "A1"


# A level, and a schedule whose store is long in words.
LONG = [("sorted", "A1 A2 B2 R B1"), ("rising", "L1 A1 B1 R U1 L2 A2 B2 U2")]


@pytest.mark.parametrize(("level", "schedule"), LONG)
def test_on_a_phone_nothing_moves_and_all_is_in_sight(level, schedule, toy):
    with toy(f"#level/{level}", **PHONE) as page:
        buttons = [page.step_button(thread) for thread in KEYS]

        def places_now():
            boxes = [button.bounding_box() for button in buttons]
            return [{key: round(size) for key, size in box.items()} for box in boxes]

        for button in buttons:
            button.hover(trial=True)  # waits until the page has come to rest
        places = places_now()
        for step in schedule.split():
            thread = "R" if step == "R" else step[1:]
            page.step_button(thread).click()
            status = page.status.bounding_box()
            assert status["y"] + status["height"] <= 740, step
            if page.root.locator(".forced:visible, .outcome :visible").count() == 0:
                assert places_now() == places, step
                lowest = max(box["y"] + box["height"] for box in places)
                assert lowest <= status["y"], step


def test_the_number_is_the_one_that_the_store_gives(toy):
    with toy("#rising/backward/L1.A1.B1.R.U1.L2.A2") as page:
        expect(page.status).to_contain_text("Writer 2 takes 2.0..04.")
        card = page.root.locator(".axis-card[data-thread='2']").bounding_box()
        grey = page.root.locator(".axis-seen").bounding_box()
        assert card["x"] > grey["x"] + grey["width"] - card["width"] / 2
        expect(page.root.locator(".lane[data-thread='2']")).to_contain_text("2.0..04")


# Each level, and what in chapter 4 would give it away.
GIVEN_AWAY = [
    ("first", "A1 A2 B2 B1"),
    ("sorted", "A1 A2 B2 R B1"),
    ("lock", "L1 A1 L2 A2"),
    ("rising", "replay rising"),
]


@pytest.mark.parametrize(("level", "answer"), GIVEN_AWAY)
def test_chapter_4_sends_one_to_a_level_before_it_tells_the_answer(level, answer):
    page = (DOCS / "4_locking_gil.md").read_text("utf-8")
    assert level in level_ids()
    assert page.index(f"scheduler.md#level/{level})") < page.index(answer)
