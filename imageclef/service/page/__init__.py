"""The page: a document, its style, its scripts; no build step, and nothing from elsewhere."""
