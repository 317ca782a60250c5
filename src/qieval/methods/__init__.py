"""One file per method: its design and its estimate."""
