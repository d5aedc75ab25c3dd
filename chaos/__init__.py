"""Experiments that disturb the service on purpose and judge whether anybody noticed."""
