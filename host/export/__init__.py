"""From an nn.Module to ExecuTorch's int8 Cortex-M dialect, and its reference execution."""
