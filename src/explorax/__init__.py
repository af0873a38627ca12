"""explorax: exploration by hierarchical meta reinforcement learning, compiled whole."""
