"""Objects that ``--json`` prints, and their JSON Schema."""
