"""The step from stage to stage, as a diff and as commits: `tutorial diff`, `steps`."""
