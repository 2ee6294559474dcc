"""The workstation side of Tactus: from a PyTorch model to a package on a board."""
