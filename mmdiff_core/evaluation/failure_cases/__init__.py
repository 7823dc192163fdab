"""Where the method ends: look-alikes, tiny subjects, unseen nouns and photos unlike the world, shown and judged."""
