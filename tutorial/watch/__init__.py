"""Judge a folder at each save: `tutorial watch`."""
