"""The laboratory, one floor higher: which design loses, with two servers on one engine?

Run `python -m lab`.
"""
