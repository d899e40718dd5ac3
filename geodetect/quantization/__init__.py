"""int8-quantized networks."""
