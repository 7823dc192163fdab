"""The stages of training, from pixels to the adapter; each trains one part of a stock model folder."""
