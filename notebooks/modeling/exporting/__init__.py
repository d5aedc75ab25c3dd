"""From a fitted pipeline to an ONNX file that answers the same."""
