"""Models out: a trained model as one ONNX file, with its card and what the export cost."""
