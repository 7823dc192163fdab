"""Cross-attention maps of any word of a prompt, from any model of Stable Diffusion's kind, without an adapter."""
