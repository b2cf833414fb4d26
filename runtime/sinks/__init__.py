"""Where finished frames and their audio go."""
