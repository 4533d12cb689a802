"""Feature sets: bulk extraction and exchange with others."""
