"""What a clone of this project needs around the notebooks and the service: its environment and its commands."""
