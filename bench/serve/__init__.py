"""`inv bench serve`: our service against others that serve the same model, in turn on the same machine."""
