"""Who is let in, how much is taken on at once, and what is counted."""
