"""Fuzzing: every reader is given damaged files until its budget is spent.

    python -m tests.fuzz --target concept-lists --seconds 600 --seed 1
    python -m tests.fuzz --seconds 60            # all targets, a minute in total

`targets/` has one file for each kind of input: valid files to start from and what must hold of whatever is
read. `campaign.py` changes them, keeps those changes that make the reader do something new, and runs in a
process that may die. What was found stands as bytes in `test_found.py`.
"""
