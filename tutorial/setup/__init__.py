"""Make the environment that all other rooms need, and know which pins are old.

Standard library only, as far as set-up itself goes: it runs before anything is
installed.
"""
