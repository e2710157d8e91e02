"""The tool of this tutorial: set up, run and compare the stages."""
