"""What the commands do: the environment, running notebooks, their pages, files of rows, starting the server."""

import sys

# A grammar that takes longer to build than papermill to import, for a check of addresses that notebooks do not
# hold; jsonschema does without it where it cannot be imported.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
