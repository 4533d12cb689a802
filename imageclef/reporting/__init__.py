"""What runs are worth, on one page: scores with intervals, comparisons, concepts, confusions, calibration."""
