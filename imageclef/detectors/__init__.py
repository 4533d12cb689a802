"""From features to concepts: the classifier, its thresholds, the measures."""
