"""Entry of `python -m training.sources.bags`."""

import sys

from training.sources.bags.command import main

if __name__ == "__main__":
    sys.exit(main())
