"""Feature learners: one file each."""
