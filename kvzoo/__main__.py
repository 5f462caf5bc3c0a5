"""`python -m kvzoo`."""

from kvzoo.cli.main import main

main()
