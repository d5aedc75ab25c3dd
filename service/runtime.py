"""onnxruntime as this project runs it: with one thread, and with nothing told to its maker."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it is read when the library is loaded

import onnxruntime


def session(model: bytes) -> Any:
    """Return an ONNX file made ready to run; whatever onnxruntime raises is its own."""
    options = onnxruntime.SessionOptions()
    # Two threads made forests slower and changed the order of summation, and so the answers' last bits.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    # It would else guess the format from the bytes, and take one that nobody looked into for outer tensors.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
