"""Tables in bulk: CSV, NDJSON, Arrow streams and Parquet, read, answered and written a batch at a time."""
