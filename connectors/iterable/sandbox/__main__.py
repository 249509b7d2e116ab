"""``python -m connectors.iterable.sandbox``."""

import sys

from .command import serve

sys.exit(serve(sys.argv[1:]))
