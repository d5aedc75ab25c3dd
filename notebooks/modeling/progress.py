def track(it, what):
    yield from it
