"""The demo application: motion and digits."""
