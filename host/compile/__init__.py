"""Edge program -> graph -> passes -> order -> arena plan -> plan image."""
