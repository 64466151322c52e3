"""What several tools share; quick to import."""
