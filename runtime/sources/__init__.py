"""Where live audio and video come from; each source is run in a thread of its own and told when to stop."""
