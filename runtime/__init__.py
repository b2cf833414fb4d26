"""lipforge.runtime."""
