"""How good a model is: suites of prompts, an ablation and failure cases, each with its report."""
