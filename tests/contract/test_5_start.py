"""Stage 5: the chat server finds its modules, wherever it is started."""

from __future__ import annotations

from tests.support.polling import settle
from tests.support.servers import NotStarted, Server

SINCE_STAGE = 5


def test_the_chat_server_starts_from_any_folder(chat, tmp_path):
    *words, file = chat.twisted.command
    elsewhere = Server(
        "Twisted, started from another folder",
        [*words, str(chat.folder / file)],
        tmp_path,
        chat.env,
        tmp_path / "twisted.log",
    )
    elsewhere.prefix = chat.twisted.prefix
    chat.twisted.stop()
    try:
        elsewhere.start(chat.chat_port)
        settle(chat)
    except NotStarted as error:
        raise AssertionError(
            "In another folder than that of the project, somebody starts the chat "
            f"server by its path: twistd -n -y .../{file}. It should find its modules "
            f"beside that file. Instead: {error.says}"
        ) from None
    finally:
        if elsewhere.process:
            elsewhere.stop()
        chat.twisted.start(chat.chat_port)
