"""Changes between predictions and a register, or two dates."""
