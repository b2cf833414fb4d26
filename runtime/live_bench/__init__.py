"""The live engine measured against its specification; see ``lipforge bench live``."""
