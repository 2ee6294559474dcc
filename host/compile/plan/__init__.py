"""The arena plan: lifetimes -> offsets, checked by code of its own."""
