"""Files and folders that are published whole, checked when read, and never put in the place of others."""
