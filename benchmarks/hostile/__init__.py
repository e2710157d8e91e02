"""Who means harm to a chat server, and who only wants to talk meanwhile."""
