"""The REST interface: what is asked how, and what it is answered with."""
