"""Models as one file, as most are shared: all networks' weights under their original names, and nothing else."""
