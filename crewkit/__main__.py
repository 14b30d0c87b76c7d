"""`python -m crewkit` is the console script."""

import sys

from crewkit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
