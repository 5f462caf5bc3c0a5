"""`python -m kvzoo`."""

from kvzoo.cli.main import main

# Processes that share work import this file again.
if __name__ == "__main__":
    main()
