"""Networks run by other libraries than PyTorch."""
