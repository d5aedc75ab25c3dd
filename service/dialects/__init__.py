"""The wire formats: each file only translates between one protocol and `Model.predict`."""
