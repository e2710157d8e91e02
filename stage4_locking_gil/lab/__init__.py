"""The laboratory: which store loses messages, and when?  Run `python -m lab`."""
