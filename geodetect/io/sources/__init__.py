"""Sources of rasters: files, folders, patterns of names, lists and catalogues."""
