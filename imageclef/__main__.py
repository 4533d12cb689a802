"""``python -m imageclef`` is the command line."""

from imageclef.cli import main

main()
