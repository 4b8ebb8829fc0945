"""A trained model as an ONNX file, checked picture by picture against the original."""
