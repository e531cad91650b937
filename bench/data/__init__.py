"""Data sets, one file a source. Nothing here imports torch, but for the sets that torchvision reads, and those only when they load."""
