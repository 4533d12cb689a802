"""From features to neighbours, and from neighbours to concepts."""
