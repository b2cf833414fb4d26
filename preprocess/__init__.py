"""From raw or synthetic material to a dataset that the trainers read."""
