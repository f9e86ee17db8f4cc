"""What do CI servers and benchmark trackers read? One module for each format, and one for each source."""
