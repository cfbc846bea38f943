"""The page on which a person labels: what is on whose screen, the server, and the files that it sends."""
