"""Who has not begun an exercise yet is told what is missing, in sentences."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tutorial.stages import ROOT, find_stage, load_exercises

# Some tests of an exercise, and what each says about the snapshot that it builds on.
MISSING = {
    "1_rooms": {
        "each_page_of_a_room_carries_its_token": "carry the token that opens its room",
        "a_request_without_a_token_is_refused": "should be refused with 401",
        "a_preflight_needs_no_token": "should say yes in Access-Control-Allow-Headers",
    },
    "2_no_delays": {
        "an_answer_brings_all_that_is_new": '"data" should be a list of texts',
        "a_socket_wakes_a_parked_poll": "answered at once, and not by a sweep",
        "who_does_not_read_is_dropped": "What waits for them, waits in memory",
    },
    "3_history": {
        "a_token_that_is_no_text": "should be let in, when it says first",
        "who_comes_back_by_polling": "should say which log it is from and the number",
        "a_post_needs_an_id": "A POST with the id '' should be refused with 400",
    },
    "4_persistence": {
        "acknowledged_survives": "What is acknowledged has to be in the database",
        "a_cursor_goes_on": "it is the same log, with the same epoch",
        "after_a_crash_has_said_it_once": "The database has to know that id",
        "come_page_by_page": "should bring a page of the messages before number",
        "without_a_database_nothing": "a socket should be told by a frame",
    },
    # Before there is a login, there is no telling who somebody is.
    "6_names": {
        "a_message_says_who_said_it": "should lead to the form for it, by a redirect",
        "who_is_not_logged_in_gets_no_token": "should lead to the form for it",
    },
    "7_strangers": {
        "for_another_host_is_refused": "should be refused with 400",
        "ten_seconds_by_socket": "its user has said 40 messages in a moment",
        "ten_seconds_by_post": "and all were taken",
        "who_knocks_without_a_token": "Without a good token: after 6 times",
        "an_address_has_so_many_connections": "CHAT_MOST_PER_ADDRESS is 8",
    },
    "8_many_servers": {
        "heard_at_all_by_sockets": "because Client 0 has said it at another server",
        "who_is_ahead_of_a_server": "which the first one has just given out",
        "who_is_here_is_one_list": "should say that both are here, who are at others",
        "twenty_messages_are_twenty": "are what one user may say, at all servers",
    },
}


@pytest.mark.thorough
@pytest.mark.parametrize("exercise", load_exercises(), ids=lambda stage: stage.id)
def test_the_snapshot_before_fails_and_says_what_is_missing(exercise, tmp_path):
    before = find_stage(exercise.builds_on).folder
    [file] = (ROOT / "tests" / "contract").glob(f"test_*{exercise.id[1:]}.py")
    result = subprocess.run(
        [
            *[sys.executable, "-m", "pytest", "-p", "pytest_twisted", str(file)],
            *[f"--stage={exercise.id}", f"--path={before}"],
            *["-q", "-p", "no:cacheprovider", "-m", "not thorough"],
            *["-k", " or ".join(MISSING[exercise.id])],
            f"--basetemp={tmp_path / 'run'}",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TEST_PATIENCE": "3"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1, result.stdout
    said = " ".join(re.findall(r"^E\s+(.*)$", result.stdout, re.M))
    for sentence in MISSING[exercise.id].values():
        assert sentence in said, f"It should say {sentence!r}, but said:\n{said}"
