"""Entry of `python -m training.sources.egoexo4d`."""

import sys

from training.sources.egoexo4d.command import main

if __name__ == "__main__":
    sys.exit(main())
