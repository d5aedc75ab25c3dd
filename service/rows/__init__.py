"""Rows from outside: single values, dates, records and columns, checked and laid out as tensors."""
