"""HTML reports, overview images and contact sheets."""
