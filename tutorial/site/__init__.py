"""What the site is built from: code, diffs and tables, taken from the stages."""
