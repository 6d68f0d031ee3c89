"""ONNX models: files from elsewhere, read with care, repaired, and run without torch."""
