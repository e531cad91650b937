"""What the papers claim, one file a paper: read by `python -m bench claims`, tested on the score rows."""
