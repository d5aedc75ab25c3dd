"""The HTTP server: sockets and bytes on one side, the WSGI application on the other."""
