from __future__ import annotations

from importlib.metadata import version

from workshop.pins import LOCK, unmet_pins, uv_block


def test_uv_block_is_cut_out_whole():
    """uv's pin comes with all of its hashes and nothing of its neighbours."""
    pin = "uv==9.9 ; sys_platform != 'x' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    assert uv_block(f"urllib3==1.0 \\\n    --hash=sha256:cc\n{pin}uvicorn==1.0 \\\n    --hash=sha256:dd\n") == pin
    assert uv_block(LOCK.read_text()).count("--hash") > 1
    assert uv_block("uvicorn==1.0 \\\n    --hash=sha256:aa\n") == ""


def test_unmet_pins_honour_markers():
    """A pin is unmet if it applies here and another version, or none, is installed."""
    lock = (
        f"pytest=={version('pytest')} \\\n    --hash=sha256:aa\n"
        "packaging==0.1 \\\n    --hash=sha256:aa\n"
        "thing-a==1.0 ; sys_platform == 'plan9' \\\n    --hash=sha256:aa\n"
        "thing-b==1.0 ; python_full_version >= '3.11' \\\n    --hash=sha256:aa\n"
    )
    assert list(unmet_pins(lock)) == ["packaging==0.1", "thing-b==1.0"]
