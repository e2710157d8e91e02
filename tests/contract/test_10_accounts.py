"""Exercise 6: accounts by Django, rooms that people make, and who finds them."""

from __future__ import annotations

import re
from itertools import count
from urllib.parse import urlencode, urljoin, urlsplit

import pytest

from tests.contract.test_1_django_ui import text_around
from tests.support.accounts import Visitor, page_text
from tests.support.forms import button_of, sending
from tests.support.html import parse
from tests.support.polling import post
from tests.support.servers import PASSWORD

SINCE_STAGE = 10
FRESH = count(1)
LETTERS = "abcdefgh"
LOG_OUT = "log ?out|sign ?out"
NEW_PASSWORD = "quite another one"
STRANGE_PLACES = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "javascript:alert(1)",
]


def fresh_name(what: str) -> str:
    """A name that nothing else has, or looks like."""
    number = next(FRESH)
    digits = (number // 64, number // 8 % 8, number % 8)
    return what + "".join(LETTERS[digit] for digit in digits)


@pytest.fixture
def nobody(chat) -> Visitor:
    """Who is not logged in."""
    return Visitor(chat)


@pytest.fixture(scope="module")
def olga(chat) -> Visitor:
    """Who makes the rooms of these tests: no other test sees them."""
    return Visitor(chat, "Olga")


@pytest.fixture(scope="module")
def bob(chat, olga) -> Visitor:
    """Somebody else, who is invited only if the test does it."""
    return Visitor(chat, "Bob")


def login_form(nobody: Visitor, path: str = "/chats/"):
    """The form for the login to which the page at `path` leads who is nobody."""
    response = nobody.get(path)
    where = urljoin(path, response.headers.get("Location", ""))
    assert response.status == 302, (
        f"{path} is for people with an account. Who is not logged in should be led to "
        f"the form for it, by a redirect (302). The answer was {response.status}."
    )
    return nobody.form(where, "username", "password")


def sign_up_form(nobody: Visitor):
    """The form to sign up, to which the login leads."""
    login_form(nobody)
    return nobody.find_form(nobody.at, "username", "password1", "password2")


def signs_up(visitor: Visitor, name: str, form=None):
    """Send the form to sign up with such a name. Returns the answer.

    It is the `form` of the page that was read last, or that to which the login leads.
    """
    form = form or sign_up_form(visitor)
    return visitor.submit(form, username=name, password1=PASSWORD, password2=PASSWORD)


def is_logged_in(visitor: Visitor) -> bool:
    return visitor.get("/chats/").status == 200


def test_without_a_login_each_page_leads_to_it_and_back(chat):
    room = chat.rooms()[0]
    polling = room.replace("/chats/", "/chats/long_poll/")
    for path in ("/chats/", room, polling):
        nobody = Visitor(chat)
        form = login_form(nobody, path)
        answer = nobody.submit(form, username="Ann", password=PASSWORD)
        leads_to = urljoin(path, answer.headers.get("Location", ""))
        assert answer.status == 302 and leads_to == path, (
            f"Who wanted to see {path} logged in first, and should be led there then. "
            f"The answer was {answer.status}, and leads to {leads_to}."
        )
        nobody.read(path)


def test_a_wrong_password_lets_nobody_in(nobody):
    form = login_form(nobody)
    before = page_text(nobody.get(nobody.at))
    answer = nobody.submit(form, username="Ann", password="wrong")
    assert answer.status == 200 and not is_logged_in(nobody), (
        "A wrong password should show the form again (200), and let nobody in. The "
        f"answer was {answer.status}."
    )
    assert page_text(answer) != before, "The page should say that it was wrong."


@pytest.mark.parametrize("place", STRANGE_PLACES)
@pytest.mark.parametrize("which", ["login", "sign-up"])
def test_nobody_is_led_to_another_site(chat, nobody, which, place):
    is_login = which == "login"
    form = login_form(nobody) if is_login else sign_up_form(nobody)
    path, name = urlsplit(nobody.at).path, fresh_name("led")
    nobody.read(f"{path}?{urlencode({'next': place})}")
    fields = {"username": "Ann", "password": PASSWORD}
    if not is_login:
        fields = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
    answer = nobody.submit(form, next=place, **fields)
    location = answer.headers.get("Location", "")
    host = urlsplit(urljoin(chat.origin, location.replace("\\", "/"))).netloc
    assert answer.status == 302 and host == urlsplit(chat.origin).netloc, (
        f"A link to the {which} said next={place}. Anybody can write such a link, so "
        "who follows it should be led to a page of ours. The answer was "
        f"{answer.status}, and leads to {location}."
    )


def test_who_signs_up_is_logged_in(nobody):
    name = fresh_name("new")
    answer = signs_up(nobody, name)
    assert answer.status == 302 and is_logged_in(nobody), (
        f"{name} signed up, and should be logged in and led on (302). The answer was "
        f"{answer.status}: {page_text(answer)[:200]}"
    )
    assert name in page_text(nobody.get("/chats/")), (
        f"The page should say who you are. /chats/ does not say {name!r}."
    )


def test_who_was_led_to_the_login_is_led_on_after_signing_up(chat, nobody):
    room = chat.rooms()[0]
    login_form(nobody, room)
    form = nobody.find_form(nobody.at, "username", "password1", "password2")
    answer = signs_up(nobody, fresh_name("guest"), form)
    leads_to = urljoin(nobody.at, answer.headers.get("Location", ""))
    assert answer.status == 302 and leads_to == room, (
        f"Somebody without an account wanted to see {room}, was led to the login, and "
        "signed up from there. Then that room should be shown. The answer was "
        f"{answer.status}, and leads to {leads_to}."
    )


BAD_NAMES = {
    "taken": "Paul",
    "another-case": "pAUL",
    "a-digit": "Pau1",
    "a-capital": "PauI",
    "cyrillic": "\u0430\u0441\u0435",
    "cyrillic-capitals": "\u0410\u0421\u0415",
    "mixed": "P\u0430ula",
    "full-width": "\uff30aul",
    "markup": "<b>Zoe</b>",
    "turning": "Zoe\u202e",
    "zero-width": "Zo\u200be",
    "invisible": "\u3164",
    "blank": " ",
    "long": "z" * 151,
}


@pytest.fixture(scope="module")
def taken(chat) -> None:
    """Accounts whose names others may not imitate."""
    chat.make_users("Paul", "ace")


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_no_name_can_be_taken_for_another(nobody, taken, name):
    before = page_text(nobody.get(sign_up_form(nobody) and nobody.at))
    answer = signs_up(nobody, name)
    assert answer.status == 200 and not is_logged_in(nobody), (
        f"Somebody signs up as {name!r}, while there are accounts called Paul and ace. "
        "That name cannot be seen, or can be taken for one of these, so it should be "
        f"refused, and the form shown again (200). The answer was {answer.status}."
    )
    assert page_text(answer) != before, (
        f"{name!r} was refused, and the page should say why. It says {before!r}."
    )


@pytest.mark.parametrize(
    "name",
    ["Paula", "\u041f\u0430\u0432\u0435\u043b", "\u05e4\u05d0\u05d5\u05dc", "z" * 150],
    ids=["latin", "cyrillic", "hebrew", "150"],
)
def test_a_name_in_any_alphabet_is_welcome(nobody, taken, name):
    answer = signs_up(nobody, name)
    assert answer.status == 302, (
        f"{name!r} looks like no other name, and should be taken. The answer was "
        f"{answer.status}: {page_text(answer)[:300]}"
    )


def test_who_logs_out_is_nobody(chat):
    cy = Visitor(chat, "Cy")
    form = cy.form("/chats/", button=LOG_OUT)
    path, _ = sending(form, cy.at, LOG_OUT)
    assert cy.get(path).status != 500 and is_logged_in(cy), (
        f"GET {path} has logged somebody out. An image on any page can ask for it, so "
        "it takes a POST."
    )
    old = dict(cy.cookies)
    answer = cy.submit(form, LOG_OUT)
    assert answer.status == 302, f"Logging out leads on (302), not {answer.status}."
    for cookies in (cy.cookies, old):
        cy.cookies = cookies
        assert not is_logged_in(cy), "Who has logged out should be nobody."


def test_a_password_can_be_changed_and_ends_other_logins(chat):
    name = fresh_name("change")
    here, there = Visitor(chat, name), Visitor(chat, name)
    fields = ("old_password", "new_password1", "new_password2")
    form = here.find_form("/chats/", *fields)
    wrong = dict.fromkeys(fields, NEW_PASSWORD)
    assert here.submit(form, **wrong).status == 200, "The old password was wrong."
    answer = here.submit(form, **(wrong | {"old_password": PASSWORD}))
    assert answer.status == 302 and is_logged_in(here), (
        "Who changes the password should stay logged in, and be led on (302). The "
        f"answer was {answer.status}."
    )
    assert not is_logged_in(there), (
        "A password was changed, maybe because somebody else knew it. Every other "
        "login with the old one should end."
    )
    assert chat.log_in(name, NEW_PASSWORD), "The new password should let in."


def test_a_password_of_one_letter_is_refused(nobody):
    form = sign_up_form(nobody)
    name = fresh_name("weak")
    for password in ("x", "12345678", "password"):
        answer = nobody.submit(
            form, username=name, password1=password, password2=password
        )
        assert answer.status == 200, (
            f"The password {password!r} is the first that anybody tries. Django's "
            "AUTH_PASSWORD_VALIDATORS refuse it, if they are set. The answer was "
            f"{answer.status}."
        )


def test_a_form_is_taken_from_our_own_pages_only(chat, olga, bob):
    den, link = make_room(olga, is_private=True)
    page, _ = page_of_link(olga, den)
    new_room = bob.find_form("/chats/", "name", "is_private")
    where, room_fields = sending(new_room, bob.at)
    for who, path, fields in [
        (bob, where, room_fields | {"name": "Forged"}),
        (bob, *sending(bob.form("/chats/", button=LOG_OUT), bob.at, LOG_OUT)),
        (olga, *sending(olga.form(page, button="back"), page, "back")),
        (bob, *sending(joining(bob, link), link)),
        (bob, f"{den}read/", {"seq": "1"}),
    ]:
        fields.pop("csrfmiddlewaretoken", None)
        answer = who.post(path, **fields)
        assert answer.status == 403, (
            f"A page of another site made the browser of {who.user}, who is logged in, "
            f"send a form to {path}. Without Django's CSRF token it should be refused "
            f"with 403. The answer was {answer.status}."
        )
    assert is_logged_in(bob), "A form of another site has logged him out."
    bob.read(link)  # It has not been taken back.
    assert bob.get(den).status == 404, "He joined by a form of another site."


def make_room(owner: Visitor, is_private: bool, name: str = "") -> tuple[str, str]:
    """Have somebody make a room. Returns its path, and the link that invites."""
    name = name or fresh_name("Zzz ")  # The first rooms of the list are for others.
    form = owner.find_form("/chats/", "name", "is_private")
    answer = owner.submit(form, name=name, is_private=privacy(form, is_private))
    assert answer.status == 302, (
        f"{owner.user} makes a room called {name!r}, and should be led on (302). The "
        f"answer was {answer.status}: {page_text(answer)[:300]}"
    )
    paths = [path for path, said in listed(owner).items() if name in said]
    assert paths, f"{owner.user} made a room called {name!r}. /chats/ does not list it."
    return paths[0], page_of_link(owner, paths[0])[1] if is_private else ""


def privacy(form, is_private: bool) -> str | None:
    """What the form for rooms says in `is_private`; None if it is not ticked."""
    box = form.select_one("input[name=is_private][type=checkbox]")
    if box is None:
        return f"{is_private}"
    return box.get("value", "on") if is_private else None


def listed(visitor: Visitor) -> dict[str, str]:
    """The rooms that somebody is shown: their paths, and what is said of each."""
    found = {}
    for link in visitor.read("/chats/")("a", href=True):
        if re.fullmatch(r"/chats/\d+/", path := urljoin("/chats/", link["href"])):
            found[path] = text_around(link)
    return found


def page_of_link(owner: Visitor, room: str) -> tuple[str, str]:
    """The page where a room's owner finds the link that invites, and that link."""
    for path in [room, *owner.links(room)]:
        if not path.startswith(room):
            continue
        html = parse(owner.get(path).text)
        texts = [field.get("value", "") for field in html("input")]
        texts += [link["href"] for link in html("a", href=True)]
        texts += [html.get_text(" ")]
        for text in texts:
            if found := re.search(r"/chats/invitation/[^\s\"'<>]+", text):
                return path, found[0]
    raise AssertionError(
        f"{owner.user} has made {room}, which is by invitation. That page, or one "
        "below it to which it links, should show the link that invites: "
        f"/chats/invitation/.../ It links to {owner.links(room)}."
    )


def joining(guest: Visitor, link: str):
    """The form by which somebody joins who follows an invitation."""
    forms = [form for form in guest.forms(link) if not button_of(form, LOG_OUT)]
    assert forms, (
        f"{guest.user} follows an invitation, {link}, and should be asked whether to "
        'join, by a <form method="post">. There is none but to log out.'
    )
    return forms[-1]  # What every page has, stands above it.


def join(guest: Visitor, link: str):
    """Follow an invitation, and say yes. Returns the answer."""
    return guest.submit(joining(guest, link))


def is_hidden(chat, visitor: Visitor, room: str) -> None:
    """Raise AssertionError unless somebody finds no trace of a room."""
    key = room.rstrip("/").rpartition("/")[2]
    unknown = visitor.get("/chats/987654/").status
    for path in (
        room,
        f"/chats/long_poll/{key}/",
        f"{room}token/",
        f"{room}earlier/?before=9",
        page_below(room),
    ):
        status = visitor.get(path).status
        assert status == unknown == 404, (
            f"{visitor.user} may not enter {room}. GET {path} should be 404, as it is "
            f"for a room that does not exist: 403 would tell that there is one. It was "
            f"{status}, and for an unknown room {unknown}."
        )
    assert room not in listed(visitor), f"{visitor.user}'s list shows {room}."


def page_below(room: str) -> str:
    """Where our own pages show who is in a room; elsewhere it is no page at all."""
    return f"{room}people/"


def test_a_room_for_all_is_open_to_all(olga, bob):
    room, _ = make_room(olga, is_private=False)
    assert room in listed(bob), f"Olga made {room}, open to all. Bob's list lacks it."
    bob.read(room)


def test_who_is_not_invited_finds_no_room(chat, olga, bob):
    room, _ = make_room(olga, is_private=True)
    is_hidden(chat, bob, room)
    fields = {"seq": "1", "csrfmiddlewaretoken": bob.cookies["csrftoken"]}
    status = bob.post(f"{room}read/", **fields).status
    assert status == 404, f"POST {room}read/ should be 404, too. It was {status}."
    olga.read(room)


def test_an_invitation_asks_first(chat, olga, bob):
    room, link = make_room(olga, is_private=True)
    bob.read(link)
    is_hidden(chat, bob, room)  # He has only looked.
    answer = join(bob, link)
    assert answer.status == 302, (
        f"Bob follows an invitation and joins, and should be led on (302). The answer "
        f"was {answer.status}."
    )
    bob.read(room)
    assert room in listed(bob), f"Bob has joined {room}. His list lacks it."
    assert join(bob, link).status == 302, "To join twice is no error."


def test_an_invitation_is_good_after_a_login(chat, olga, nobody):
    room, link = make_room(olga, is_private=True)
    form = login_form(nobody, link)
    answer = nobody.submit(form, username="Cy", password=PASSWORD)
    leads_to = urljoin(link, answer.headers.get("Location", ""))
    assert leads_to == link, f"After the login it leads to {leads_to}, not to {link}."
    nobody.user = "Cy"
    join(nobody, link)
    nobody.read(room)


def test_a_link_that_was_taken_back_opens_nothing(chat, olga, bob):
    room, link = make_room(olga, is_private=True)
    join(bob, link)
    page, _ = page_of_link(olga, room)
    answer = olga.press(page, "back")
    assert answer.status == 302, f"It should lead on (302), not {answer.status}."
    cy = Visitor(chat, "Cy")
    status = cy.get(link).status
    assert status == 404, (
        "Olga took the link back, so it should lead nowhere (404). It was followed, "
        f"and the answer was {status}."
    )
    is_hidden(chat, cy, room)
    bob.read(room)  # Who is in stays in.
    join(cy, page_of_link(olga, room)[1])
    cy.read(room)


def test_who_else_has_joined_changes_nothing_for_those_who_are_in(chat, olga, bob):
    room, link = make_room(olga, is_private=True)
    for guest in (bob, Visitor(chat, "Cy")):
        join(guest, link)
    for visitor in (olga, bob):
        visitor.read(room)
        links = visitor.links("/chats/")
        times, usual = links.count(room), links.count(chat.rooms()[0])
        assert times == usual, (
            f"Bob and Cy have joined Olga's {room}. On /chats/, {visitor.user} should "
            f"be shown it as often as any other room. It is linked {times} times, and "
            f"{chat.rooms()[0]} {usual}."
        )


def test_an_invitation_cannot_be_made_up(chat, olga, bob):
    room, link = make_room(olga, is_private=True)
    other, other_link = make_room(olga, is_private=True)
    start, _, said = link.rstrip("/").rpartition("/")
    _, _, other_said = other_link.rstrip("/").rpartition("/")
    for forged in made_up(said, other_said):
        attempt = f"{start}/{forged}/"
        status = bob.get(attempt).status
        assert status == 404, (
            "An invitation that was changed should lead nowhere (404). GET "
            f"{attempt} was answered {status}."
        )
    is_hidden(chat, bob, room)
    is_hidden(chat, bob, other)


def made_up(said: str, other: str) -> set[str]:
    """Texts of no invitation, made of those of two: signed, random or counted."""
    middle = len(said) // 2
    found = {"x", "1", f"{said[:-5]}AAAAA", said[:-8], said[:middle] + other[middle:]}
    found.discard(other)  # Two of them may begin alike.
    found.add(re.sub(r"\d+", lambda number: f"{int(number[0]) + 1}", said))
    if ":" in said:  # What is signed, with no signature and with another one's.
        told, _, _ = said.rpartition(":")
        found |= {told, f"{told}:{other.rpartition(':')[2]}"}
    return found - {said, ""}


def test_who_is_removed_is_out_and_the_old_link_too(chat, olga):
    guest = Visitor(chat, fresh_name("guest"))
    room, link = make_room(olga, is_private=True)
    join(guest, link)
    page, _ = page_of_link(olga, room)
    assert guest.user in page_text(olga.get(page)), f"{page} should list the members."
    answer = olga.press(page, "remove")
    assert answer.status == 302, f"It should lead on (302), not {answer.status}."
    is_hidden(chat, guest, room)
    status = guest.get(link).status
    assert status == 404, (
        f"Olga removed {guest.user} from her room, who still has the link by which "
        "they came. It should be taken back with them (404). It was answered "
        f"{status}."
    )


def test_only_the_owner_decides_who_is_in(chat, olga, bob):
    room, link = make_room(olga, is_private=True)
    cy = Visitor(chat, "Cy")
    join(cy, link)
    page, _ = page_of_link(olga, room)
    sent = [
        sending(olga.form(page, button=button), page, button)
        for button in ("back", "remove")
    ]
    join(bob, link)
    assert link not in bob.get(page).text, (
        f"Bob was invited to Olga's room. The link that invites is for its owner, but "
        f"{page} shows it to him."
    )
    for path, fields in sent:
        token = {"csrfmiddlewaretoken": bob.cookies["csrftoken"]}
        answer = bob.post(path, **(fields | token))
        assert bob.get(link).status == cy.get(room).status == 200, (
            f"Bob was invited to Olga's room, and sent POST {path} with what her page "
            f"sends: {fields}. Only the owner decides who is in. The answer was "
            f"{answer.status}, and Cy was removed, or the link was taken back."
        )


BAD_ROOMS = {
    "blank": "  ",
    "invisible": "\u200b",
    "blank letters": "\u3164\u115f",
    "marks alone": "\u034f\ufe0f",
    "turning": "Zoo\u202e",
    "long": "z" * 201,
}


@pytest.mark.parametrize("name", BAD_ROOMS.values(), ids=BAD_ROOMS)
def test_a_room_has_a_name_that_can_be_read(olga, name):
    form = olga.find_form("/chats/", "name", "is_private")
    before = page_text(olga.get(olga.at))
    answer = olga.submit(form, name=name, is_private=privacy(form, False))
    assert answer.status == 200 and page_text(answer) != before, (
        f"A room called {name!r} should be refused, and the form shown again (200) "
        f"with the reason. The answer was {answer.status}."
    )


def test_a_name_with_markup_is_shown_as_text(chat):
    zoe = Visitor(chat, "<zoe>Z</zoe>")  # Django's shell asks nobody if it may be.
    for path in ("/chats/", chat.rooms()[0]):
        soup = zoe.read(path)
        assert "<zoe>Z</zoe>" in soup.get_text() and not soup.find("zoe"), (
            f"{path} should show the name <zoe>Z</zoe> as text."
        )
    _, link = make_room(zoe, is_private=True, name="<zoo>Z</zoo>")
    soup = Visitor(chat, "Bob").read(link)
    assert "<zoo>Z</zoo>" in soup.get_text() and not soup.find("zoo"), (
        f"{link} should show the name <zoo>Z</zoo> as text."
    )


def test_who_is_deactivated_is_nobody(chat):
    name = fresh_name("gone")
    gone = Visitor(chat, name)
    chat.change_user(name, is_active=False)
    assert not is_logged_in(gone), (
        f"The account {name} was deactivated, and its login should be good for nothing."
    )
    room = chat.rooms()[0]
    status = gone.get(f"{room}token/").status
    assert status == 401, f"There is no token for it: 401, and not {status}."


def test_what_is_shown_to_one_is_not_kept_for_another(chat, olga):
    for path in ("/chats/", chat.rooms()[0]):
        kept = olga.get(path).headers.get("Cache-Control", "")
        assert "no-store" in kept or "private" in kept and "no-cache" in kept, (
            f"{path} shows what only Olga may see. When she has logged out, the next "
            "at this machine should not be shown it by the browser's Back: "
            f"Cache-Control says {kept!r}, and should forbid to keep it."
        )


def new_in(visitor: Visitor, room: str) -> int:
    """How many unread messages the list tells of a room."""
    said = listed(visitor)[room]
    found = re.search(r"(\d+)\s+(new|unread)", said)
    return int(found[1]) if found else 0


def reads(visitor: Visitor, room: str, seq: int | str) -> int:
    """Tell how far somebody has read. Returns the status."""
    fields = {"seq": f"{seq}", "csrfmiddlewaretoken": visitor.cookies["csrftoken"]}
    return visitor.post(f"{room}read/", **fields).status


def test_the_list_says_what_is_new_to_you(chat, olga, bob):
    [room] = chat.make_rooms(fresh_name("News "))
    assert new_in(bob, room) == 0, "Nothing was said, so nothing is new."
    for number in range(3):
        post(chat, f"{number}", room=room)
    chat.moved(room, 3)
    for seq, left in [(0, 3), (2, 1), (1, 1), (99, 0)]:
        status = reads(bob, room, seq)
        found = new_in(bob, room)
        assert (status, found) == (200, left), (
            f"Three messages were said in {room}, and the page told POST {room}read/ "
            f'with seq={seq}. Then the list should say "{left} new" beside the room, '
            f"or nothing for 0. The status was {status}, and it says {found}."
        )
    post(chat, "and one more", room=room)
    chat.moved(room, 4)
    assert new_in(bob, room) == 1, (
        "Bob's page had said that he had read up to number 99, which there was not "
        f"yet. So the next message is new to him. The list says {new_in(bob, room)}."
    )
    assert new_in(olga, room) == 4, (
        f"Bob has read them, and Olga has not. Her list says {new_in(olga, room)}."
    )


@pytest.mark.parametrize("digits", [30, 5000])
def test_a_number_that_is_too_large_is_no_error(chat, bob, digits):
    status = reads(bob, chat.rooms()[0], "9" * digits)
    assert status in (200, 400), (
        f"The page of a room said that it was read up to a number of {digits} digits. "
        "There is no such message, so it is as good as the last one (200), or refused "
        f"(400). The status was {status}."
    )


@pytest.mark.parametrize("seq", ["", "x", "1.5"])
def test_what_is_no_number_is_nothing_read(chat, bob, seq):
    room = chat.rooms()[0]
    status = reads(bob, room, seq)
    assert status == 400, f"seq={seq} is no number: 400, and not {status}."


def test_who_is_nobody_has_read_nothing(chat, nobody):
    room = chat.rooms()[0]
    login_form(nobody)
    token = nobody.cookies.get("csrftoken", "")
    answer = nobody.post(f"{room}read/", seq="1", csrfmiddlewaretoken=token)
    assert answer.status == 401, (
        f"Who is logged out tells POST {room}read/ how far they have read. A script "
        "asks, so it should be told 401, and not be led to a form. The answer was "
        f"{answer.status}."
    )
