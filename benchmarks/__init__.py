"""How fast the stages are, beside what a learner might have picked instead."""
