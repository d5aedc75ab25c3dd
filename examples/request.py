"""Ask the service which cultivar one wine is: start it first with `python3 tasks.py serve`."""

import os
import sys

import requests

service = os.environ.get("CELLAR_URL", "http://127.0.0.1:5000")
wine = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]  # alcohol, malic acid, …
try:
    reply = requests.post(f"{service}/models/wine/predict", json=[wine], timeout=10)
except requests.RequestException:
    sys.exit(f"no service answers at {service}: start it with `python3 tasks.py serve`")
print(reply, reply.json())
