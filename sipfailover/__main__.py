"""`python -m sipfailover` is the same as `sipfailover`."""

import sys

from sipfailover.cli import main

if __name__ == "__main__":
    sys.exit(main())
