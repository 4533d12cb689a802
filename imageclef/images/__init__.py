"""Image files become pixels: formats, depths, EXIF, and the processes that decode them."""
