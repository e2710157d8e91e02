"""Start what is in a folder: Django, the chat servers, and the engine they share."""
