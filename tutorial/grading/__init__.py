"""Judge a whole class, and give marks: `check-class`, from hand-ins to a gradebook."""
