"""How well the built-in model does: an independent referee, the measures, the suite and its report."""
