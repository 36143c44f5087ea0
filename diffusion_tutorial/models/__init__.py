"""Networks: the U-Net of the digits, the one that reads captions with its text encoder, and the judges."""
