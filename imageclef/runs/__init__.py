"""Reading and writing ImageCLEF runs, and scoring them as the organisers do."""
