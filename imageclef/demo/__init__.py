"""A drawn collection to try everything on: nothing in it comes from a patient."""
