"""ONNX models: files of other tools, checked, repaired, and run without torch."""
