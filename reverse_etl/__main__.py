"""``python -m reverse_etl``, the same as the script ``reverse-etl``."""

from __future__ import annotations

from reverse_etl.cli import main

if __name__ == "__main__":
    main()
