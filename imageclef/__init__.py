"""Concept detection and similarity search in medical images."""

__version__ = "0.1.0"
