"""lipforge.train."""
