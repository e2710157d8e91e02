"""The chat server's parts: talk, visitors, polling, and the entrance to them."""
