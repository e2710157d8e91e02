"""Say what is in a learner's way, and the cure: this machine, a folder, its output.

The rooms above ask here before they start something, and when it has failed.
"""
