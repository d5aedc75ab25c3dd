"""What stands around the dialects on the web: the layer in front, pages, replies, metrics."""
