"""The ONNX graph: export, quantization and the Triton model repository."""
