"""Pruned models on disk: saved with a card, loaded by plain `from_pretrained`; files from strangers are doubted."""
