"""Judge what is in a folder by the tests of a stage: `tutorial check`.

The folder is copied, the tests run on the copy, in processes of their own and shut in
if need be, and what they tell becomes a verdict and a report.
"""
