"""What a person looks at: the report page, overview pictures and contact sheets."""
