"""The thin service: it reads published bundles and answers predictions over HTTP."""
