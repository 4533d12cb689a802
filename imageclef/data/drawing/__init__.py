"""How phantoms are drawn: a canvas, and one file for each family of modalities."""
