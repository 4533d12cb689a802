"""Images, concept lists and the store that every later stage reads."""
