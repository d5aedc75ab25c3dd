"""The wire formats: a file each, which only translates between a request and `Model.predict`."""
