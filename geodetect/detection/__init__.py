"""Detection of objects in rasters, merged across tile seams, as a table or files."""
