"""DICOM files become pictures: what they are called, what is kept of them, and their grey values."""
