"""The similarity page and its REST interface; needs the extra `imageclef[serve]`."""
