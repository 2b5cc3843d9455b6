"""What transformers' models do not have: a softmax that may attend to nothing, a pooling."""
