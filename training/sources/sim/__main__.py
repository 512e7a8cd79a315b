"""Entry of `python -m training.sources.sim`.

The work lies in `dataset` because worker processes can import that by name, but not this file.
"""

import sys

from training.sources.sim.dataset import main

if __name__ == "__main__":
    sys.exit(main())
