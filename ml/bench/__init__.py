"""The bench: methods beside each other on folders of pictures, one row a run, one table."""
